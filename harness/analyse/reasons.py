"""The one plain sentence that goes with each verdict: what it rests on, and what would change it."""

from __future__ import annotations

from harness.analyse.outcomes import Missing, Outcomes
from harness.analyse.statistics import MOST_PAIRS
from harness.analyse.text import count, interval, number, p_is, plain, seeds

_BROKEN: tuple[Missing, ...] = ("diverged", "failed", "without this score")


def one_seed(baseline: Outcomes, arm: Outcomes) -> str:
    """Fewer than two seeds were planned."""
    planned = len(arm.values) + len(arm.lacking)
    broken = [*broken_parts(baseline), *broken_parts(arm)]
    return (
        f"{count(planned, 'seed')} {'has' if planned == 1 else 'have'} no spread to judge a difference by"
        f"{''.join(f'; {part}' for part in broken)}; run the command with more seeds"
    )


def always_diverged(baseline: Outcomes, arm: Outcomes) -> str:
    """The arm never finished and the baseline always did."""
    return (
        f"{arm.arm} diverged on every one of {count(len(arm.lacking), 'seed')} and {baseline.arm} on none; "
        "there is no finished run to put an interval on"
    )


def unfinished(baseline: Outcomes, arm: Outcomes) -> str:
    """Some runs ended badly."""
    missing = _missing(baseline, arm)
    return (
        "; ".join([*broken_parts(baseline), *broken_parts(arm)])
        + "; the seeds left over are a selection, and no verdict is drawn from them"
        + (f"; {missing}" if missing else "")
    )


def interrupted(num_pairs: int, baseline: Outcomes, arm: Outcomes) -> str:
    """Some runs are not there yet."""
    planned = len(arm.values) + len(arm.lacking)
    spread = "" if num_pairs > 1 else ", and so few have no spread to judge a difference by"
    return (
        f"{_missing(baseline, arm)}: {num_pairs} of {planned} planned pairs are complete{spread}; "
        "run the command again to finish the study"
    )


def equivalent(p: float, ci95: tuple[float, float], margin: float | None, unit: str, family: int) -> str:
    """The difference is inside the margin."""
    assert margin is not None
    inside = f"the margin of {plain(margin)} {unit} (two one-sided t-tests, {_p(p, family)})"
    if ci95[0] > 0 or ci95[1] < 0:
        return f"a difference is seen, and it is smaller than {inside}"
    return f"any difference is smaller than {inside}"


def different(
    p: float, ci95: tuple[float, float], margin: float | None, unit: str, family: int, method: str = "Holm's correction"
) -> str:
    """The difference is not zero."""
    test = f"paired t-test, {_p(p, family)}"
    if method != "Holm's correction":
        test = f"{method} over {count(family, 'comparison')}, {p_is('p', p)}"
    sentence = f"the difference is not zero ({test})"
    if margin is None:
        return sentence
    if min(abs(ci95[0]), abs(ci95[1])) > margin:
        return f"{sentence}, and its 95 % interval lies wholly beyond the margin of {plain(margin)} {unit}"
    return f"{sentence}, but a difference smaller than the margin of {plain(margin)} {unit} is not ruled out"


def inconclusive(
    ci95: tuple[float, float], smallest: float | None, needed: int | None, n: int, unit: str, family: int
) -> str:
    """Neither a difference nor its absence is shown."""
    seen = ci95[0] > 0 or ci95[1] < 0
    opening = (
        f"the 95 % interval {interval(ci95)} leaves out zero, but the correction for {count(family, 'comparison')} "
        "does not allow a verdict"
        if seen and family > 1
        else "neither a difference nor equivalence is shown"
    )
    more = f"more than {MOST_PAIRS:,}" if needed is None else f"about {needed:,}"
    return (
        f"{opening}; {count(n, 'seed')} could have shown a difference of {number(smallest)} {unit} (80 % power), "
        f"and {more} seeds would be needed if the true difference is the one seen"
    )


def broken_parts(arm: Outcomes) -> list[str]:
    """`norm=rms diverged on seeds 1 and 3`, one part a way of ending badly."""
    verb = {"diverged": "diverged", "failed": "failed", "without this score": "finished without this score"}
    return [f"{arm.arm} {verb[word]} on {seeds(arm.seeds(word))}" for word in _BROKEN if arm.seeds(word)]


def _missing(baseline: Outcomes, arm: Outcomes) -> str:
    parts = [f"{len(o.seeds('missing'))} of {o.arm}" for o in (baseline, arm) if o.seeds("missing")]
    total = len(baseline.seeds("missing")) + len(arm.seeds("missing"))
    return f"{count(total, 'run')} {'is' if total == 1 else 'are'} missing ({', '.join(parts)})" if total else ""


def _p(p: float, family: int) -> str:
    return p_is("p", p) if family == 1 else f"{p_is('p', p)} after Holm's correction for {family} comparisons"
