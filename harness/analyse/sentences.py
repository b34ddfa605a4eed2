"""The verdicts and the method in words, for the terminal and for the report alike."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analyse.comparison import Comparison, is_discovery
from harness.analyse.family import family_of
from harness.analyse.multiplicity import FALSE_DISCOVERY_RATE
from harness.analyse.screening import OUT, fresh_seeds, screening_seeds, was_screened_out
from harness.analyse.text import count, interval, plain, seeds, signed
from harness.records.record import StudyRecord
from harness.records.registration import SCREENING_LEVEL

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
    if len(comparisons) == 1 and family_of(study) != "explore":
        return verdict_words(comparisons[0])
    words = [_word(study, c) for c in comparisons]
    order = ("better", "equivalent", "worse", "inconclusive", "named to be confirmed", OUT, "not named")
    counted = ", ".join(f"{words.count(word)} {word}" for word in (*order, "without a verdict") if word in words)
    others = {c.baseline for c in comparisons}
    if others == {study.baseline}:
        asked = f"{len(comparisons)} arms against {study.baseline}"
    elif len(others) == len(comparisons):
        asked = f"{len(comparisons)} steps from {study.baseline} to {comparisons[-1].arm}"
    else:
        asked = f"{len(comparisons)} comparisons of {count(len(study.arms), 'arm')}"
    return f"{'Exploratory: ' if family_of(study) == 'explore' else ''}{asked}: {counted}"


def _word(study: StudyRecord, c: Comparison) -> str:
    if family_of(study) == "explore":
        return "named to be confirmed" if is_discovery(c) else "not named"
    return OUT if was_screened_out(c) else c.verdict or "without a verdict"


def method_notes(study: StudyRecord, comparisons: Sequence[Comparison]) -> list[str]:
    """How the verdicts were reached, in a few sentences."""
    tested = max(1, sum(c.p_value is not None for c in comparisons))
    others = {c.baseline for c in comparisons}
    other = study.baseline if others <= {study.baseline} else "the one that its design names"
    return [
        f"Every arm is compared with {other} seed by seed ({seeds(fresh_seeds(study))}): same data order, same "
        "initial values where two arms share a tensor. A difference is arm minus baseline; its 95 % interval is the "
        "paired Student t interval over seeds.",
        *_screening(study),
        _words(study, tested),
        "The smallest effect is what the noncentral t distribution says these seeds detect with 80 % power. The "
        "probability of being better assumes a flat prior. Intervals cover the seeds, not other data, sizes or "
        "budgets.",
    ]


def _screening(study: StudyRecord) -> list[str]:
    if not screening_seeds(study):
        return []
    return [
        f"All arms were screened on {seeds(screening_seeds(study))}, which only chose: an arm went on when it was "
        f"better at a one-sided level of {SCREENING_LEVEL:g}. Those that went on were judged on the other seeds alone, "
        "and the level is shared among them. The mean of an arm that was screened out is that of the screen."
    ]


def _words(study: StudyRecord, tested: int) -> str:
    """What the words mean in this study."""
    if family_of(study) == "explore":
        return (
            f"This study explores: an arm is named where Benjamini and Hochberg's (1995) q over "
            f"{count(tested, 'comparison')} of the paired t-test is at most {FALSE_DISCOVERY_RATE:g}; of those named, "
            "at most one in ten is wrong on average. It gives no verdict, and an arm that is named is to be confirmed "
            "on fresh seeds."
        )
    tests = {
        "max-t": "max-t over flipped signs (Westfall and Young 1993) rejects zero",
        "dunnett": "Dunnett's (1955) test with seeds as blocks, one spread for all arms, rejects zero",
    }
    rejects, level = "the two-sided paired t-test rejects zero", "at a level of 0.05, by Holm (1979)"
    if family_of(study) in tests:
        rejects, level = (
            tests[family_of(study)],
            "at a level of 0.05 for all arms together, equivalence by Holm (1979),",
        )
    return (
        "EQUIVALENT: two one-sided t-tests (Schuirmann 1987) place the difference within "
        f"±{plain(study.margin)} nats per byte. BETTER or WORSE: {rejects}, and equivalence is not shown. Both {level} "
        f"over {count(tested, 'comparison')}. INCONCLUSIVE: neither, or runs that did not finish."
    )
