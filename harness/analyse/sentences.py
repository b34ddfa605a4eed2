"""The verdicts and the method in words, for the terminal and for the report alike."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse.comparison import Comparison
from harness.analyse.text import count, interval, plain, seeds, signed
from harness.records.record import StudyRecord

_HEADLINES = {"equivalent": "EQUIVALENT to", "better": "BETTER than", "worse": "WORSE than"}


def verdict_sentence(c: Comparison) -> str:
    """`norm=rms is EQUIVALENT to gpt2 within 0.01 nats per byte: +0.0029 [-0.0008, +0.0066], 4 paired seeds`."""
    within = f" within {plain(c.margin)} {c.unit}" if c.verdict == "equivalent" and c.margin is not None else ""
    return f"{verdict_words(c)}{within}: {difference_text(c, with_unit=not within)}"


def verdict_words(c: Comparison) -> str:
    """The verdict as a headline: `norm=rms is EQUIVALENT to gpt2`."""
    if c.verdict in _HEADLINES:
        return f"{c.arm} is {_HEADLINES[c.verdict]} {c.baseline}"
    return f"{c.arm} against {c.baseline} is INCONCLUSIVE" if c.verdict else f"{c.arm} against {c.baseline}: NO VERDICT"


def difference_text(c: Comparison, with_unit: bool = True) -> str:
    """`+0.0029 nats per byte [-0.0008, +0.0066], 4 paired seeds`."""
    if c.mean_difference is None:
        return "no difference measured, no pair of runs finished"
    unit = f" {c.unit}" if with_unit else ""
    ci = "(no interval)" if c.ci95 is None else interval(c.ci95)
    return f"{signed(c.mean_difference)}{unit} {ci}, {count(c.num_seeds, 'paired seed')}"


def headline(study: StudyRecord, comparisons: Sequence[Comparison]) -> str:
    """One arm: its verdict. More: how many of each word, negative and open ones counted like the rest."""
    if not comparisons:
        return f"No comparison: {study.baseline} is the only arm"
    if len(comparisons) == 1:
        return verdict_words(comparisons[0])
    words = [c.verdict or "without a verdict" for c in comparisons]
    order = ("better", "equivalent", "worse", "inconclusive", "without a verdict")
    counted = ", ".join(f"{words.count(word)} {word}" for word in order if word in words)
    return f"{len(comparisons)} arms against {study.baseline}: {counted}"


def method_notes(study: StudyRecord, comparisons: Sequence[Comparison]) -> list[str]:
    """How the verdicts were reached, in a few sentences."""
    tested = max(1, sum(c.p_value is not None for c in comparisons))
    return [
        f"Every arm is compared with {study.baseline} seed by seed ({seeds(study.seeds)}): same data order, same "
        "initial values where two arms share a tensor. A difference is arm minus baseline; its 95 % interval is the "
        "paired Student t interval over seeds.",
        "EQUIVALENT: two one-sided t-tests (Schuirmann 1987) place the difference within "
        f"±{plain(study.margin)} nats per byte. BETTER or WORSE: the two-sided paired t-test rejects zero, and "
        f"equivalence is not shown. Both at a level of 0.05, by Holm (1979) over {count(tested, 'comparison')}. "
        "INCONCLUSIVE: neither, or runs that did not finish.",
        "The smallest effect is what the noncentral t distribution says these seeds detect with 80 % power. The "
        "probability of being better assumes a flat prior. Intervals cover the seeds, not other data, sizes or "
        "budgets.",
    ]
