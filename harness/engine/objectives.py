"""What a sweep may optimise: names, which direction is better, and how a trial's value is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from harness.data.dataset import TokenizedData
from harness.engine.scoring import ScoreRequest, known_scores
from harness.plan.ledger import Ledger
from harness.records.record import RunRecord, StudyRun
from harness.records.store import RunStore
from harness.score.load import load_run
from harness.score.throughput.arm import Settings
from harness.score.throughput.measure import Candidate, measure
from variants.errors import UserError, nearest

Direction = Literal["minimize", "maximize"]  # optuna's words

OF_RECORD = ("nats_per_byte", "bits_per_byte", "nats_per_token", "perplexity")
OF_SCORES = {
    "late_context_loss": ("position", "minimize"),
    "growth_2x": ("extrapolation", "minimize"),
}
OF_LEDGER = ("num_params", "kv_bytes_per_token")
SPEEDS = {
    "train_tokens_per_second": "train",
    "prefill_tokens_per_second": "prefill",
    "decode_tokens_per_second": "decode",
}
HIGHER = ("acc", "acc_norm")
"""lm-eval's metrics that may be objectives, `cloze/acc`; both are better when higher."""

TEXT_TOKENS = 2**16
"""Of the validation split that a model reads while it is timed. Assumption."""

NUM_BLOCKS = 10
"""Timed blocks of a trial's speed: enough to rank, the winner is timed again beside the baseline. Assumption."""


@dataclass(frozen=True)
class Objective:
    """A name and which way is better; `request` is the score that the run must have, if any."""

    name: str
    direction: Direction
    request: ScoreRequest | None = None


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """`bits_per_byte,decode_tokens_per_second` -> objectives, the first the one the winner is judged by.

    Raises:
        UserError: an unknown name, or a name twice.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise UserError(f"--objective takes one or more different names divided by commas, got {text!r}")
    return tuple(_objective(name) for name in names)


def _objective(name: str) -> Objective:
    if name in OF_RECORD or name in OF_LEDGER:
        return Objective(name, "minimize")
    if name in SPEEDS:
        return Objective(name, "maximize")
    if name in OF_SCORES:
        score, direction = OF_SCORES[name]
        return Objective(name, "minimize" if direction == "minimize" else "maximize", ScoreRequest(score))
    task, slash, metric = name.rpartition("/")
    if slash and metric in HIGHER:
        request = ScoreRequest.from_json({"name": "lm-eval", "options": {"task": task, "limit": None}})
        return Objective(name, "maximize", request)
    known = (*OF_RECORD, *SPEEDS, *OF_SCORES, *OF_LEDGER, "cloze/acc")
    raise UserError(
        f"unknown objective {name!r}{nearest(name, known)}; --objective takes {', '.join(known)} or TASK/acc"
    )


@dataclass(frozen=True)
class TrialRun:
    """A finished run of a trial, and what its values are found with."""

    record: RunRecord
    ledger: Ledger
    data: TokenizedData
    store_folder: Path
    device: torch.device
    tokens_per_step: int


def values_of(objectives: Sequence[Objective], run: TrialRun) -> list[float]:
    """The values of a finished run, in the order of the objectives.

    Raises:
        UserError: a score failed, or the variant does not have the quantity.
    """
    store = RunStore(run.store_folder)
    requests = [objective.request for objective in objectives if objective.request is not None]
    scores = tuple(score for score in known_scores(run.record, requests, store) if score is not None)
    scored = StudyRun("", 0, False, run.record, scores)
    measured = {**_of_ledger(run.ledger), **_speeds(objectives, run)}
    values = []
    for objective in objectives:
        value = measured.get(objective.name, scored.value(objective.name))
        if value is None:
            reasons = "; ".join(score.reason for score in scores if score.reason) or "it is not defined for this arm"
            raise UserError(f"no {objective.name}: {reasons}")
        values.append(float(value))
    return values


def _of_ledger(ledger: Ledger) -> dict[str, float | None]:
    cache = ledger.cache
    return {
        "num_params": ledger.total_params,
        "kv_bytes_per_token": None if cache is None else cache.bytes_per_token,
    }


def _speeds(objectives: Sequence[Objective], run: TrialRun) -> dict[str, float | None]:
    """Median tokens/s of the kinds of work that were asked for, at batch 1 and the training length."""
    kinds = {SPEEDS[objective.name] for objective in objectives if objective.name in SPEEDS}
    if not kinds:
        return {}
    settings = Settings(
        run.tokens_per_step,
        batch_sizes=() if kinds == {"train"} else (1,),
        decode_contexts=(run.ledger.spec.seq_len,) if "decode" in kinds else (),
        num_blocks=NUM_BLOCKS,
    )
    model = load_run(RunStore(run.store_folder).folder(run.record.key), device=run.device).model
    text = torch.from_numpy(run.data.validation[:TEXT_TOKENS].astype("int64"))
    found = measure([Candidate("trial", run.ledger, model)], settings, run.device, run.store_folder, text=text)
    medians = {row.kind: row.tokens_per_s.median for row in found.rows if row.tokens_per_s is not None}
    return {name: medians.get(kind) for name, kind in SPEEDS.items() if kind in kinds}
