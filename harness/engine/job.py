"""One run: train, score, write the record. The same function whichever engine calls it."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.data import dataset
from harness.data.batches import Batches
from harness.engine.event import Event
from harness.engine.heartbeat import heartbeat
from harness.engine.identity import identity, key_of, manner_class, parallel_class
from harness.engine.scoring import ScoreRequest, score_run
from harness.model.transformer import Transformer
from harness.records.record import RunRecord
from harness.records.store import RunStore, StoreError
from harness.score.moe_health import moe_health
from harness.score.perplexity import validation_loss
from harness.score.stability import kurtosis, training_stability
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.checkpoint import checkpoints, file_sha256, save_tensors
from harness.train.compile import StepKind, step_class
from harness.train.crew import ALONE, Crew
from harness.train.device import choose_device, device_class
from harness.train.manner import PLAIN, Manner
from harness.train.parallel import Parallel
from harness.train.precision import make_model
from harness.train.trainer import CHECKPOINT_SECONDS, Training, train
from harness.train.trunk import extend_trunk, points_of
from variants.errors import UserError

CURVE_ROWS = 200
"""Rows of the loss curve kept in a record; each is a mean over equally many steps."""


@dataclass(frozen=True)
class Job:
    """A run to be done, as plain data that crosses a process boundary as JSON."""

    spec: Spec
    recipe: Recipe
    num_steps: int
    training_flops_per_token: float
    seed: int
    data_sha256: str
    store: str
    device: str
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    scores: tuple[ScoreRequest, ...] = ()
    step: StepKind = "eager"
    data_seed: int | None = None  # of the data order; None: `seed`
    rerun: int = 0  # see `identity`
    from_trunk: bool = False  # a wsd run that decays from the trunk of its recipe, spec, seed and data
    parallel: Parallel | None = None  # over processes of one machine; None: one
    manner: Manner = PLAIN
    recompute_activations: bool = False  # the same bits in less memory, so no part of the identity

    @property
    def identity(self) -> dict[str, Any]:
        leaves = {"trunk": self.trunk_key, "step": self.recipe.branch_step(self.num_steps)} if self.from_trunk else None
        return self._identity(leaves)

    @property
    def trunk_key(self) -> str:
        """Of the trunk's folder in the store. A trunk has no end, and no record: it is no result."""
        assert self.recipe.schedule == "wsd"
        assert self.recipe.warmup_steps is not None, "a warm-up that depends on the length cannot be shared"
        trunk = dataclasses.replace(self, recipe=self.recipe.trunk)._identity(None)
        return key_of({**trunk, "num_steps": "trunk"})

    def _identity(self, branch: dict[str, Any] | None) -> dict[str, Any]:
        device = choose_device(self.device)
        return identity(
            self.spec,
            self.recipe.to_json(),
            self.num_steps,
            self.seed,
            self.data_sha256,
            device_class(device),
            step_class(self.step, device.type),
            self.data_seed,
            self.rerun,
            branch,
            parallel_class(self.parallel),
            manner_class(self.manner),
        )

    @property
    def key(self) -> str:
        return key_of(self.identity)

    @property
    def lineage_key(self) -> str:
        """Of the checkpoints of a run over several processes: any number of them, of either kind, goes on from there.

        The run's own key says how many there are, since its bits depend on it.
        """
        identity = self.identity
        return key_of({**identity, "parallel": {"code": identity["parallel"]["code"]}})

    def to_json(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "spec": self.spec.to_json(),
            "recipe": self.recipe.to_json(),
            "scores": [request.to_json() for request in self.scores],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Job:
        return cls(
            **{
                **data,
                "spec": Spec.from_json(data["spec"]),
                "recipe": Recipe(**data["recipe"]),
                "scores": tuple(ScoreRequest.from_json(request) for request in data["scores"]),
                "parallel": None if data["parallel"] is None else Parallel(**data["parallel"]),
                "manner": Manner(**data["manner"]),
            }
        )


def data_folder(store: str | Path) -> Path:
    """Where a store keeps tokenized corpora and trained tokenizers."""
    return Path(store) / "data"


def execute(
    job: Job,
    *,
    on_progress: Callable[[int, float], None] = lambda step, loss: None,
    on_score: Callable[[str], None] = lambda name: None,
    on_wait: Callable[[], None] = lambda: None,
    on_trunk_wait: Callable[[], None] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunRecord | None:
    """Train one run, or take its record if some process has made it, and score it; None when stopped.

    Weights stay beside the record as `weights.safetensors`; the checkpoints are removed. A stop that comes while
    the run is scored leaves the scores it has. `on_score` is called with what the run is scored on, `on_wait` while
    another process has the run, `on_trunk_wait` while it has the trunk; all about once a second. A run of a stack is
    trained in one without others, which gives it the same bits.
    """
    from harness.engine.stack_job import execute_stack  # they need `Job`
    from harness.engine.torchrun import Listener, train_in_team

    if job.manner.rows is not None:
        (record,) = execute_stack(
            [job],
            on_progress=lambda run, step, loss: on_progress(step, loss),
            on_score=lambda run, name: on_score(name),
            on_wait=on_wait,
            should_stop=should_stop,
        )
        return record
    store, key = RunStore(job.store), job.key
    with store.lock(key, on_wait=on_wait, should_stop=should_stop) as held:
        if not held:
            return None
        record = store.get(key)
        if record is None or record.status == "failed":
            if job.parallel is None:
                folder = store.folder(key) / "checkpoints"
                record = train_and_validate(
                    job,
                    store,
                    folder,
                    on_progress=on_progress,
                    on_score=on_score,
                    on_trunk_wait=on_trunk_wait,
                    should_stop=should_stop,
                )
            else:
                record = train_in_team(job, store, Listener(on_progress, on_score, on_wait, should_stop))
            if record is None:
                return None
            store.put(record)
        shutil.rmtree(store.folder(key) / "checkpoints", ignore_errors=True)  # also those that a kill left here
        score_run(record, job.scores, store, choose_device(job.device), should_stop, on_score)
        return record


def train_and_validate(
    job: Job,
    store: RunStore,
    folder: Path,
    *,
    on_progress: Callable[[int, float], None],
    on_score: Callable[[str], None],
    on_trunk_wait: Callable[[], None] = lambda: None,
    should_stop: Callable[[], bool],
    crew: Crew = ALONE,
    device: torch.device | None = None,
) -> RunRecord | None:
    """The record of one run, with its weights beside where it will be; None when stopped.

    Args:
        folder: of its checkpoints.
        crew: the processes that do it together, each of which calls this.
        device: of this process; None: the job's.
    """
    device = device or choose_device(job.device)
    data = dataset.load(data_folder(job.store), job.data_sha256)
    sequences = job.recipe.tokens_per_step // job.spec.seq_len
    order = job.seed if job.data_seed is None else job.data_seed
    batches = Batches(data.train, job.spec.seq_len, sequences, order, device=device)
    how: dict[str, Any] = {
        "on_progress": on_progress,
        "should_stop": should_stop,
        "checkpoint_seconds": job.checkpoint_seconds,
        "step_kind": job.step,
        "recompute_activations": job.recompute_activations,
        "crew": crew,
    }
    start = None
    if job.from_trunk and not checkpoints(folder):
        trunk, step = store.folder(job.trunk_key), job.recipe.branch_step(job.num_steps)
        with store.lock(job.trunk_key, on_wait=on_trunk_wait, should_stop=should_stop) as held:
            model = make_model(job.spec, job.seed, job.manner.precision).to(device)
            if not held or extend_trunk(trunk, model, batches, job.recipe, step, **how) == "stopped":
                return None
        start = points_of(trunk)
    model = crew.place(make_model(job.spec, job.seed, job.manner.precision), device)
    training = train(model, batches, job.recipe, job.num_steps, folder=folder, start=start, **how)
    if training.status == "stopped":
        return None
    return record_of(job, training, model, data, store, crew, on_score)


def record_of(
    job: Job,
    training: Training,
    model: Transformer,
    data: dataset.TokenizedData,
    store: RunStore,
    crew: Crew,
    on_score: Callable[[str], None],
) -> RunRecord:
    """The record of a run that has ended, with its weights beside where it will be."""
    assert training.status != "stopped", "a stopped run has no record"
    record = RunRecord(
        key=job.key,
        identity=job.identity,
        status=training.status,
        reason=training.reason or crew.remark(),
        scores={},
        curve=loss_curve(training.losses, job.recipe.tokens_per_step * job.training_flops_per_token),
        seconds=round(training.seconds, 3),
        curve_sha256=hashlib.sha256(training.losses.numpy().tobytes()).hexdigest(),
        stability=training_stability(training.losses.numpy(), training.norms.numpy(), job.recipe.clip).to_json(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    if training.status == "diverged":
        return record
    with heartbeat(partial(on_score, "validation")):
        return _validated(record, model, data, store.folder(record.key), crew)


def _validated(
    record: RunRecord, model: Transformer, data: dataset.TokenizedData, folder: Path, crew: Crew
) -> RunRecord:
    weights, tensors = folder / "weights.safetensors", crew.weights(model)
    if crew.first:
        save_tensors(weights, tensors)
    if not crew.scores:
        return record
    loss = validation_loss(model, data)
    health = moe_health(model, data.validation, capacities=())
    assert record.stability is not None
    return dataclasses.replace(
        record,
        scores=loss.scores,
        documents=loss.documents.tolist(),
        moe_health=None if health is None else health.to_json(),
        stability={**record.stability, "kurtosis": kurtosis(model, data.validation)},
        weights_sha256=file_sha256(weights) if crew.first else "",
    )


def loss_curve(losses: Tensor, flops_per_step: float) -> list[list[float]]:
    """[step, training FLOPs so far, mean loss since the previous row] in at most `CURVE_ROWS` rows."""
    stride = -(-len(losses) // CURVE_ROWS)
    ends = [*range(stride, len(losses), stride), len(losses)]
    starts = [0, *ends[:-1]]
    return [[end, end * flops_per_step, losses[s:end].mean().item()] for s, end in zip(starts, ends, strict=True)]


def failed(job: Job, reason: str) -> RunRecord:
    """The record of a run that raised or whose process died."""
    run_identity = job.identity
    return RunRecord(key=key_of(run_identity), identity=run_identity, status="failed", reason=reason, scores={})


def fail(index: int, job: Job, reason: str) -> Event:
    """Keep the record of a failed run; returns the event that says so. `index` is the job's among its study's."""
    try:
        RunStore(job.store).put(failed(job, reason))
    except (StoreError, UserError) as error:  # UserError: the record that is there is damaged
        return Event("broken", index, reason=f"{job.store}: {error}")
    return Event("end", index, status="failed", reason=reason)
