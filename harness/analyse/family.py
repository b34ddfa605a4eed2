"""How a study's level is shared among its arms, as its registration declared it (records/registration.py: FAMILIES).

The functions themselves are in analyse/multiplicity.py; this hands them the pairs, and says in words which was used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.analyse import statistics
from harness.analyse.finite import Interval
from harness.analyse.multiplicity import benjamini_hochberg, dunnett, max_t
from harness.records.record import StudyRecord

Pairs = Sequence[Sequence[float]]
"""[seed, value of what it is compared with, value of the arm]."""


class Adjusted(NamedTuple):
    """p-values after correction, one an arm, None where there is no test; `method` in words, to stand after "by".

    `intervals` hold for all arms at once, where the method has such; `refused` is why a declared method gives no p. It
    is not replaced by another: choosing the test by the data errs more often than either (Dunnett's, or Holm's where it
    is refused, is wrong in 7 to 9 % of studies of 3 or 4 seeds; simulated, docs/statistics.md).
    """

    p: list[float | None]
    method: str
    intervals: list[Interval | None]
    refused: str = ""


def family_of(study: StudyRecord) -> str:
    """The family a study declared; studies of before families were declared used Holm's."""
    return study.registration.get("family", "holm")


def adjust(family: str, num_planned: int, arms: Sequence[Pairs], p_values: Sequence[float | None]) -> Adjusted:
    """The p-values of `arms`, corrected together.

    max-t and Dunnett's test need the same seeds of all arms: an arm that lacks a pair has no p-value there (it has no
    verdict either) and does not count.
    """
    plain: list[Interval | None] = [None] * len(arms)
    if family == "explore":
        return Adjusted(benjamini_hochberg(p_values), "Benjamini and Hochberg's rate", plain)
    whole = [i for i, pairs in enumerate(arms) if len(pairs) == num_planned >= 2]
    if family == "holm" or not whole:
        return Adjusted(statistics.holm(p_values), "Holm's correction", plain)
    before = np.array([[pair[1] for pair in arms[i]] for i in whole]).T  # (seeds, arms)
    after = np.array([[pair[2] for pair in arms[i]] for i in whole]).T
    if family == "max-t":
        found = max_t(after - before)
        adjusted, intervals, reason, method = found.adjusted, None, found.reason, "max-t over flipped signs"
    else:
        found = dunnett(before[:, 0].tolist(), after)
        adjusted, intervals, reason, method = found.adjusted, found.intervals, found.reason, "Dunnett's test"
    if adjusted is None:
        return Adjusted([None] * len(arms), method, plain, reason)
    p = dict(zip(whole, adjusted, strict=True))
    together = dict(zip(whole, intervals or (), strict=False))
    return Adjusted([p.get(i) for i in range(len(arms))], method, [together.get(i) for i in range(len(arms))])
