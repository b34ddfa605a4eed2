"""Score a finished run on what was asked, once: a score that the store has is not computed again."""

from __future__ import annotations

import datetime
import importlib.metadata
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch

from harness.data import dataset
from harness.engine.heartbeat import heartbeat
from harness.engine.identity import ROOT, files_digest, key_of
from harness.engine.scorers import SCORERS
from harness.records.record import RunRecord
from harness.records.score import ScoreRecord
from harness.records.store import RunStore
from harness.score.load import load_run
from variants.errors import UserError


@dataclass(frozen=True)
class ScoreRequest:
    """A score by name, with its options as JSON data: `lm-eval` has a task and a limit of items."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "options": dict(self.options)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ScoreRequest:
        return cls(data["name"], tuple(sorted(data["options"].items())))


def score_identity(record: RunRecord, request: ScoreRequest) -> dict[str, Any]:
    """The content that produces a score of this run; its digest is the score's key."""
    return {
        "run": record.key,
        "weights": record.weights_sha256,
        "score": request.name,
        "options": dict(request.options),
        "code": _code_digest(request.name),
        "torch": torch.__version__,
        "lm_eval": importlib.metadata.version("lm_eval"),
    }


@lru_cache(maxsize=64)
def _code_digest(name: str) -> str:
    return files_digest({path for pattern in SCORERS[name].code for path in ROOT.glob(pattern)})


def known_scores(record: RunRecord, requests: Sequence[ScoreRequest], store: RunStore) -> list[ScoreRecord | None]:
    """The store's answer to each request; None for a score that is yet to be computed."""
    return [store.get_score(record.key, key_of(score_identity(record, request))) for request in requests]


def missing_scores(record: RunRecord, requests: Sequence[ScoreRequest], store: RunStore) -> list[ScoreRequest]:
    """The requests that a finished run has no score for, or one that failed and may not fail again."""
    if record.status != "finished":
        return []
    known = zip(requests, known_scores(record, requests, store), strict=True)
    return [request for request, score in known if score is None or score.status == "failed"]


def score_run(
    record: RunRecord,
    requests: Sequence[ScoreRequest],
    store: RunStore,
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
    on_score: Callable[[str], None] = lambda name: None,
) -> None:
    """Compute and keep the scores that are missing, from the run's own weights, until told to stop.

    `on_score` is called with a score's name when it is begun, and about once a second while it is computed.
    A score that cannot be had, for whatever reason, is a record too: the run and its other scores stand.
    """
    missing = missing_scores(record, requests, store)
    if not missing:
        return
    run = load_run(store.folder(record.key), device=device)
    data = dataset.load(run.data_folder, run.data_sha256)
    for request in _until(should_stop, missing):
        started = time.perf_counter()
        try:
            with heartbeat(partial(on_score, request.name)):
                values, detail = SCORERS[request.name].score(run, data, dict(request.options))
            status, reason = "finished", ""
        except UserError as error:
            values, detail, status, reason = [], {}, "failed", str(error)
        except Exception as error:  # a variant may raise in scoring what it does not in training
            traceback.print_exc()
            values, detail, status, reason = [], {}, "failed", f"{type(error).__name__}: {error}"
        made_from = score_identity(record, request)
        store.put_score(
            ScoreRecord(
                key=key_of(made_from),
                identity=made_from,
                run=record.key,
                name=request.name,
                status=status,
                reason=reason,
                values=values,
                detail=detail,
                seconds=round(time.perf_counter() - started, 3),
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
        )


def _until(should_stop: Callable[[], bool], requests: Sequence[ScoreRequest]) -> Iterator[ScoreRequest]:
    for request in requests:
        if should_stop():
            return
        yield request
