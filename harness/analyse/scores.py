"""What may be compared, and how it is read. One row a score; the first is the one the verdict is about."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from variants.errors import UserError, nearest

PRIMARY = "nats_per_byte"


@dataclass(frozen=True)
class Score:
    """`margin_scale` turns the study's margin of equivalence, nats per byte, into this score's unit;
    None where no margin was declared, and then equivalence is not tested.
    """

    name: str  # its key in RunRecord.scores
    title: str
    unit: str
    direction: Literal["lower", "higher"]  # which is better
    margin_scale: float | None
    decimals: int  # shown


SCORES = {
    score.name: score
    for score in (
        Score("nats_per_byte", "validation loss", "nats per byte", "lower", 1.0, 4),
        Score("nats_per_token", "validation loss", "nats per token", "lower", None, 4),
        Score("bits_per_byte", "validation loss", "bits per byte", "lower", 1 / math.log(2), 4),
        Score("perplexity", "perplexity", "per token", "lower", None, 3),
    )
}


def score_named(name: str) -> Score:
    """The row of `SCORES`, or a `UserError` that suggests the nearest."""
    if name not in SCORES:
        raise UserError(f"unknown score {name!r}{nearest(name, SCORES)}")
    return SCORES[name]
