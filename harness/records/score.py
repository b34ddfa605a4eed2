"""What a trained run scored beyond its loss, and what was measured of a whole study. Plain data, no torch.

A score is of one run: it stands beside the run's record, keyed by what made it, so that a score can be added later
without training again. A measurement is of all arms at once (throughput, a profile): arms are timed side by side, so
it belongs to a study.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from harness.records.schema import SCHEMA_VERSION

Direction = Literal["lower", "higher"]


@dataclass(frozen=True)
class Value:
    """One number of a run. `standard_error` is over items, blocks or documents: it holds no variance of seeds.

    `chance` is what guessing scores, and `informative` whether the value is told from it; None where there is no such
    level. `value` None: not defined for this run, and `reason` says why (N/A, never a guess).
    """

    name: str  # "cloze/acc", "nats_per_token_2x"; unique in a run
    title: str  # for a column
    value: float | None
    unit: str
    direction: Direction  # which is better
    standard_error: float | None = None
    chance: float | None = None
    informative: bool | None = None
    reason: str = ""


@dataclass(frozen=True)
class ScoreRecord:
    """One score of one run. `key` is the digest of `identity`: the run, its weights, the score, its options, its code.

    `values` are what a table shows in the row of an arm; `detail` holds the raw data, by item, position or length.
    """

    key: str
    identity: dict[str, Any]
    run: str  # the run's key
    name: str  # "lm-eval", "position", "extrapolation", "facets", "capacity"
    status: Literal["finished", "failed"]
    reason: str  # why it failed; empty when it did not
    values: list[Value] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    created: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Measurement:
    """What was measured of all arms of a study side by side: `throughput`, `profile`. `detail` is its own JSON."""

    name: str
    identity: dict[str, Any]  # the arms, their weights, settings, device and code
    status: Literal["finished", "failed"]
    reason: str
    detail: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    created: str = ""
    schema_version: int = SCHEMA_VERSION


def score_from_json(body: dict[str, Any]) -> ScoreRecord:
    """A ScoreRecord from its JSON; KeyError or TypeError when it is not one."""
    return ScoreRecord(**{**body, "values": [Value(**value) for value in body["values"]]})
