"""The same differences by other tests, beside the verdict: what rests on the normal distribution, and what does not.

Nothing here changes a verdict. Where a row disagrees with it, a reader should know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analyse.bootstrap import BootstrapInterval, studentised
from harness.analyse.comparison import ALPHA, Comparison
from harness.analyse.effects import (
    Standardised,
    Superiority,
    probability_of_improvement,
    standardised,
    superiority,
)
from harness.analyse.finite import Interval
from harness.analyse.permutation import SignFlip, sign_flip
from harness.analyse.screening import was_screened_out


@dataclass(frozen=True)
class CheckRow:
    """An arm against the one it is compared with."""

    arm: str
    against: str
    sign_flip: SignFlip
    bootstrap: BootstrapInterval
    superiority: Superiority  # over pairs of one seed
    improvement: float  # a run of any seed against one of any other
    effect: Standardised
    together: Interval | None  # simultaneous, where the declared family has such intervals


def check_rows(comparisons: Sequence[Comparison]) -> list[CheckRow]:
    """A row for every comparison with at least two pairs; none of an arm that was screened out."""
    tested = [c for c in comparisons if c.num_seeds >= 2 and not was_screened_out(c)]
    return [_row(c, len(tested)) for c in tested]


def _row(c: Comparison, family: int) -> CheckRow:
    before, after = [pair[1] for pair in c.pairs], [pair[2] for pair in c.pairs]
    differences = [b - a for a, b in zip(before, after, strict=True)]
    return CheckRow(
        arm=c.arm,
        against=c.baseline,
        sign_flip=sign_flip(differences, ALPHA, family),
        bootstrap=studentised(differences),
        superiority=superiority(differences, c.direction),
        improvement=probability_of_improvement(np.array(after)[:, None], np.array(before)[:, None], c.direction),
        effect=standardised(differences),
        together=c.ci95_together,
    )
