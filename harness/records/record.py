"""The documents that outlive a process: what a study is, what a run gave. Plain data, no torch.

Every record carries `schema_version`; a reader refuses a version it does not know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.records.schema import SCHEMA_VERSION
from harness.records.score import ScoreRecord

Status = Literal["finished", "diverged", "failed"]


@dataclass(frozen=True)
class ArmRecord:
    """One arm of a study, matched. `mismatch` is (arm - baseline) / baseline of the matched quantity."""

    name: str  # the tokens that make it, "norm=rms activation=swiglu"; the baseline's own name is its preset
    spec: dict[str, Any]
    num_params: dict[str, int]  # total, active, non_embedding
    training_flops_per_token: float
    training_flops: float
    num_tokens: int
    num_steps: int
    mismatch: float
    recipe: dict[str, Any] = field(default_factory=dict)  # what of the study's recipe is another for this arm
    audit: dict[str, Any] = field(default_factory=dict)  # what differs from the baseline, as [baseline, arm]
    hardware_flops_per_token: float | None = None  # of training, with the masked half of scores; None in old records


@dataclass(frozen=True)
class RegimeRecord:
    """An arm under one matching regime; `refused` says why it could not be matched, and then the numbers are None.

    `mismatch` is of what the regime makes equal, as in `ArmRecord`; beyond `tolerance` nothing is ranked.
    """

    arm: str
    regime: str
    name: str  # of the arm in its study: this one for equal FLOPs, that in the folder `regimes` for the others
    refused: str
    tolerance: float
    mismatch: float | None = None
    d_ff: int | None = None
    num_params: dict[str, int] | None = None
    num_tokens: int | None = None
    training_flops: float | None = None


@dataclass(frozen=True)
class StudyRecord:
    """The question and everything decided before the first run."""

    name: str
    command: list[str]  # argv that reproduces it
    created: str  # ISO 8601, UTC
    baseline: str  # name of the baseline arm
    match: Literal["flops", "params", "active-params", "total-params", "tokens", "time", "all"]
    budget: float  # training FLOPs a run
    margin: float  # nats per byte
    seeds: list[int]
    recipe: dict[str, Any]
    data: dict[str, Any]  # name, sha256, tokenizer, vocab_size, train_tokens, validation_tokens, validation_bytes
    environment: dict[str, str]  # python, torch, platform, device, code
    arms: list[ArmRecord]  # the baseline first
    registration: dict[str, Any] = field(default_factory=dict)  # what was decided, and its sha256; see registration.py
    design: dict[str, Any] = field(default_factory=dict)  # factors and cells of spec/designs.py; empty for a joint one
    regimes: list[RegimeRecord] = field(default_factory=list)  # of --match all, arm by arm, equal FLOPs first
    timing: dict[str, Any] = field(default_factory=dict)  # the measured steps behind a plan by wall clock; timing.py
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class RunRecord:
    """One training run and its scores. `key` is the digest of `identity`, so equal content is trained once.

    Raw values: `documents` holds [nats, tokens, bytes] a validation document, `curve` holds
    [step, training FLOPs so far, mean training loss since the previous row in nats a token].
    """

    key: str
    identity: dict[str, Any]  # spec, recipe, num_steps, seed, data, code, libraries, device
    status: Status
    reason: str  # why it did not finish; empty when it did
    scores: dict[str, float | None]  # nats_per_token, nats_per_byte, bits_per_byte, perplexity
    documents: Sequence[Sequence[float]] = field(default_factory=list)  # packed where it was read: records.compact
    curve: Sequence[Sequence[float]] = field(default_factory=list)
    moe_health: dict[str, Any] | None = None  # load and balance of every expert layer on the validation text
    stability: dict[str, Any] | None = None  # spikes, gradient norms, kurtosis: score/stability.py; None in old records
    seconds: float = 0.0  # wall clock of training
    weights_sha256: str = ""
    curve_sha256: str = ""  # of every step's loss, float32
    created: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class StudyRun:
    """A run seen from a study: which arm and seed it stands for, whether it was trained before, and its scores."""

    arm: str
    seed: int
    reused: bool
    record: RunRecord
    scores: tuple[ScoreRecord, ...] = ()

    def value(self, name: str) -> float | None:
        """A number of this run by name: of its record, or of a score beside it; None where there is none."""
        if name in self.record.scores:
            return self.record.scores[name]
        return next((v.value for score in self.scores for v in score.values if v.name == name), None)


def to_json(record: Any) -> dict[str, Any]:
    """A record as plain JSON data."""
    return dataclasses.asdict(record)
