"""The stages of harness.claims: from flags to planned claims, to evidence, to the report. Exact checks come first; then
the runs of all claims as one list, a claim's evidence being written as soon as its last run is there; last, with no
worker left to disturb them, the timings.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.analyse.claims import ClaimResult, claim_line, results, tally
from harness.analyse.text import count, duration, listing
from harness.cli.arguments import DEFAULT_BUDGET
from harness.cli.display import StudyDisplay
from harness.cli.run import LOG, Place, say
from harness.data.dataset import TokenizedData
from harness.engine.claim_checks import require_checks, run_checks
from harness.engine.claim_runs import PlannedClaim, Setting, arm_facts, finished, in_order, merged, plan_claim, run_rows
from harness.engine.claim_timings import Bench, setting_at, time_claim
from harness.engine.environment import environment
from harness.engine.event import Event
from harness.engine.job import Job
from harness.engine.study import Task, progress
from harness.plan.match import plan_baseline
from harness.records.claim import Claim, Family, claim_json
from harness.records.evidence import (
    EvidenceRecord,
    LedgerRecord,
    is_ledger,
    read_evidence,
    read_ledger,
    write_evidence,
    write_ledger,
)
from harness.records.store import RunStore
from harness.reporting.claims import write_claims_report
from harness.score.throughput.ceilings import device_name
from harness.spec.presets import preset
from harness.spec.recipe import Recipe
from harness.spec.sizes import resize
from harness.spec.tokens import Arm
from harness.train.device import choose_device
from variants.errors import UserError, nearest

BASELINE = "gpt2"
"""The article's road starts from GPT-2's block: LayerNorm, GELU, learned positions, full attention with biases."""

FLOPS_PER_SECOND = 4e10
"""Of one core at 2x48 with eager steps: 25 s for 1e12 FLOPs (docs/decisions/0002). A forecast, until runs are there."""

SLOWER = {"moe": 1.8, "switch": 1.8, "deepseek": 1.65, "deepseek_v3": 1.75, "t5": 1.5, "rope": 1.2, "alibi": 1.2}
"""Time of a step over that of learned positions and a dense FFN at 2x48, measured in turns on a loaded machine; the
positions with 4 heads, the mixtures with 8 experts."""

MANY = 1.6
"""What more than 16 experts take over 8, likewise."""


@dataclass(frozen=True)
class Scale:
    """Where a ledger is run. `steps` None: `budget` training FLOPs a run. `note` says what is known of it."""

    size: str
    note: str
    budget: float = DEFAULT_BUDGET
    steps: int | None = None
    seq_len: int = 128
    recipe: Recipe = field(default_factory=Recipe)


SCALES = {
    "rehearsal": Scale(
        "1x48",
        "a rehearsal of the program: its words mean nothing",
        steps=150,
        seq_len=32,
        recipe=Recipe(tokens_per_step=128),
    ),
    "nano": Scale("nano", "the default size, recipe and budget (docs/decisions/0002-default-recipe.md)"),
    "micro": Scale("micro", "not run yet; budget and learning rate are assumptions", 4e13, recipe=Recipe(lr=3e-3)),
    "mini": Scale("mini", "not run yet; budget and learning rate are assumptions", 1e15, recipe=Recipe(lr=2e-3)),
}


def scale_named(name: str) -> Scale:
    """The scale, or a `UserError` that suggests the nearest."""
    if name not in SCALES:
        raise UserError(f"unknown scale {name!r}{nearest(name, SCALES)}")
    return SCALES[name]


def setting_of(args: argparse.Namespace, vocab_size: int) -> Setting:
    """What all runs share: the scale, with what the flags change of it."""
    scale = scale_named(args.scale)
    spec = resize(preset(BASELINE), scale.size, seq_len=scale.seq_len).replace(vocab_size=vocab_size)
    recipe = scale.recipe if args.lr is None else dataclasses.replace(scale.recipe, lr=args.lr)
    steps = args.steps if args.steps is not None else scale.steps if args.budget is None else None
    return Setting(BASELINE, spec, recipe, None if steps else args.budget or scale.budget, steps)


def with_seeds(claim: Claim, seeds: int | None) -> Claim:
    """A claim on `seeds` seeds, arms that were given fewer keeping them."""
    if seeds is None:
        return claim
    arms = tuple(dataclasses.replace(a, seeds=None if a.seeds is None else min(a.seeds, seeds)) for a in claim.arms)
    return dataclasses.replace(claim, seeds=seeds, arms=arms)


@dataclass(frozen=True)
class Planned:
    """A ledger before it is run. `order` are the claims' ids; `tasks` by id, `waiting` once each, in that order."""

    claims: dict[str, PlannedClaim]
    order: list[str]
    tasks: dict[str, list[Task]]
    all_tasks: list[Task]
    waiting: list[Task]

    @classmethod
    def of(cls, claims: Sequence[Claim], setting: Setting, data: TokenizedData, place: Place) -> Planned:
        """Match every arm and see what the store has.

        Raises:
            UserError: an arm cannot be, or a check or score does not exist.
        """
        planned = {}
        for claim in claims:
            require_checks(claim)
            planned[claim.id] = plan_claim(claim, setting)
        tasks = {id: p.tasks(data, place.store, place.device, place.checkpoint_seconds) for id, p in planned.items()}
        store = RunStore(place.store)
        known = progress([t for found in tasks.values() for t in found], store).trained
        order = in_order(list(planned.values()), tasks, known, lambda job: seconds_of(job, store))
        everything = merged([task for id in order for task in tasks[id]])
        return cls(planned, order, tasks, everything, progress(everything, store).waiting)


def plan_text(plan: Planned, setting: Setting, args: argparse.Namespace, data: TokenizedData, place: Place) -> str:
    """What will be run, in which order, and how long it takes."""
    store, spec = RunStore(place.store), setting.spec
    seen = {t.key for t in plan.all_tasks} - {t.key for t in plan.waiting}
    seconds = {task.key: seconds_of(task.job, store) for task in plan.waiting}
    length = f"{setting.num_steps} steps" if setting.num_steps else f"{setting.budget:.3g} training FLOPs"
    lines = [
        f"scale {args.scale}: {spec.n_layers}x{spec.d_model}, seq_len {spec.seq_len}, {length} a run, on {data.name} "
        f"({data.tokenizer}); {scale_named(args.scale).note}",
        f"{'claim':<6}{'runs':>6}{'new':>6}{'min':>7}  arms x seeds",
    ]
    total = 0.0
    for id in plan.order:
        claim = plan.claims[id].claim
        new = {t.key for t in plan.tasks[id]} - seen
        seen |= new
        own = sum(seconds.get(key, 0.0) for key in new) / place.num_workers
        total += own
        arms = (
            "; ".join(f"{arm.name} x{claim.seeds_of(arm)}" for arm in claim.arms) if plan.tasks[id] else "no training"
        )
        lines.append(f"{id:<6}{len(plan.tasks[id]):>6}{len(new):>6}{own / 60:>7.1f}  {arms or 'no training'}")
    timings = count(sum(len(p.claim.timings) for p in plan.claims.values()), "timing")
    lines.append(
        f"{count(len(plan.all_tasks), 'run')} in all, {len(plan.waiting)} to train or score: about {duration(total)} "
        f"on {count(place.num_workers, 'worker')}; {timings} of arms side by side and exact checks besides"
    )
    return "\n".join(lines)


def seconds_of(job: Job, store: RunStore) -> float:
    """How long a run will take: as a sibling of another seed did, else by its FLOPs."""
    for seed in range(8):
        record = store.get(dataclasses.replace(job, seed=seed).key)
        if record is not None and record.status == "finished":
            return record.seconds
    flops = job.num_steps * job.recipe.tokens_per_step * job.training_flops_per_token
    slower = math.prod(SLOWER.get(variant, 1.0) for _, variant in job.spec.variants())
    experts = dict(job.spec.ffn.options).get("num_experts", 0)
    return flops / FLOPS_PER_SECOND * slower * (MANY if isinstance(experts, int) and experts > 16 else 1.0)


class Book:
    """The ledger's folder while it is run: evidence goes in claim by claim, the report follows."""

    def __init__(self, folder: Path, plan: Planned, setting: Setting, ledger: LedgerRecord, place: Place) -> None:
        self.folder, self.plan, self.setting, self.ledger, self.place = folder, plan, setting, ledger, place
        self.store = RunStore(place.store)
        self.before = read_evidence(folder)
        self.checks: dict[str, dict[str, Any]] = {}
        self.timings: dict[str, dict[str, Any]] = {id: dict(e.timings) for id, e in self.before.items()}
        self.kernels: dict[str, dict[str, Any]] = {id: dict(e.kernels) for id, e in self.before.items()}
        self.settled: set[str] = set()

    def write(self, id: str) -> None:
        """One claim's evidence as it is now."""
        planned = self.plan.claims[id]
        names = {t.name for t in planned.claim.timings}
        record = EvidenceRecord(
            claim=claim_json(planned.claim),
            arms=arm_facts(planned),
            runs=run_rows(self.plan.tasks[id], self.store),
            timings={name: made for name, made in self.timings.get(id, {}).items() if name in names},
            kernels=self.kernels.get(id, {}),
            checks=self.checks.get(id, {}),
        )
        write_evidence(self.folder, record)

    def report(self) -> list[ClaimResult]:
        """The report as the evidence allows it now."""
        found = results(self.ledger, read_evidence(self.folder))
        write_claims_report(self.folder, self.ledger, found)
        return found

    def settle(self, done: set[str]) -> None:
        """Write the claims whose runs are all done, tell their words, and renew the report."""
        new = [
            id
            for id in self.plan.order
            if id not in self.settled and self.plan.tasks[id] and {t.key for t in self.plan.tasks[id]} <= done
        ]
        if not new:
            return
        for id in new:
            self.settled.add(id)
            self.write(id)
        found = {result.claim.id: result for result in self.report()}
        for id in new:
            say(claim_line(found[id]))

    def keys(self, id: str) -> dict[str, str]:
        """Of each arm its first finished run."""
        found: dict[str, str] = {}
        for task in self.plan.tasks[id]:
            record = self.store.get(task.key)
            if record is not None and record.status == "finished":
                found.setdefault(task.arm, record.key)
        return found


def run_ledger(book: Book, bench: Bench) -> list[ClaimResult]:
    """Everything that is not known yet; an interrupt leaves the evidence of what is."""
    plan = book.plan
    for id, planned in plan.claims.items():
        book.checks[id] = run_checks(planned.claim, book.setting.spec)
        book.write(id)
    for result in book.report():
        if result.evidence.checks:
            say(claim_line(result))
    try:
        train(book)
    finally:
        for id in plan.claims:
            book.write(id)
    for id, planned in plan.claims.items():
        timings, kernels = book.timings.setdefault(id, {}), book.kernels.setdefault(id, {})
        time_claim(planned, bench, book.keys(id), timings, kernels, partial(book.write, id))
    return book.report()


def train(book: Book) -> None:
    """The runs of all claims as one list, so that no worker waits at the end of a claim."""
    tasks, waiting = book.plan.all_tasks, book.plan.waiting
    done = {task.key for task in tasks if finished(task, book.store) is not None}
    book.settle(done)
    if not waiting:
        return
    engine = book.place.engine(book.folder / LOG)
    with StudyDisplay([t.name for t in waiting], [t.job.num_steps for t in waiting]) as display:

        def on_event(event: Event) -> None:
            display.show(event)
            if event.kind == "end" and event.status != "stopped":
                done.add(waiting[event.job].key)
                book.settle(done)

        engine.run([task.job for task in waiting], on_event)


def ledger_record(
    args: argparse.Namespace, argv: Sequence[str], setting: Setting, data: TokenizedData, declared: Sequence[Claim]
) -> LedgerRecord:
    """What all claims of this ledger share."""
    first = plan_baseline(
        Arm(BASELINE, setting.spec), setting.recipe.tokens_per_step, budget=setting.budget, num_steps=setting.num_steps
    )
    return LedgerRecord(
        command=list(argv),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        scale=args.scale,
        size=f"{setting.spec.n_layers}x{setting.spec.d_model}",
        budget=first.training_flops,
        num_steps=first.num_steps,
        seq_len=setting.spec.seq_len,
        recipe=setting.recipe.to_json(),
        data={
            "name": data.name,
            "sha256": data.corpus_sha256,
            "tokenizer": data.tokenizer,
            "vocab_size": data.vocab_size,
            "train_tokens": len(data.train),
            "validation_tokens": len(data.validation),
        },
        environment=environment(setting.spec, args.device, hardware=device_name(choose_device(args.device))),
        family=[list(member) for member in Family.of(declared).members],
    )


SHARED = ("scale", "size", "budget", "num_steps", "seq_len", "recipe", "data", "family")
"""What two commands must have in common to add to one ledger."""


def open_ledger(folder: Path, ledger: LedgerRecord) -> LedgerRecord:
    """The ledger of this folder, begun now or before.

    Raises:
        UserError: the folder holds a ledger of other settings.
    """
    if is_ledger(folder):
        before = read_ledger(folder)
        differ = [name for name in SHARED if getattr(before, name) != getattr(ledger, name)]
        if differ:
            raise UserError(
                f"{folder} holds a ledger of another {listing(differ)}; choose another --out, or remove that folder"
            )
        ledger = dataclasses.replace(ledger, created=before.created)
    write_ledger(folder, ledger)
    return ledger


def bench_of(book: Book, data: TokenizedData, num_blocks: int) -> Bench:
    """Where timings are made: this process, one thread."""
    return Bench(
        setting=book.setting,
        settings_of=lambda size: setting_at(book.setting, preset(BASELINE), size),
        data=data,
        store_folder=book.place.store,
        device=choose_device(book.place.device),
        num_blocks=num_blocks,
        say=say,
    )


def closing(found: Sequence[ClaimResult], folder: Path, started: float) -> str:
    """How it ended."""
    lines = [claim_line(result) for result in found]
    took = duration(time.monotonic() - started)
    return "\n".join([*lines, f"{tally(found)}; {took}   report: {folder / 'report.html'}"])
