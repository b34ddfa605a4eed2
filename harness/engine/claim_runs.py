"""The runs of a claims ledger: declared arms are matched, become jobs, and records become a claim's evidence.

Every arm is matched to the baseline preset at the ledger's budget, whichever claim it is of. So equal arms of two
claims are one run, and the ledger shares runs with any study of the same text and budget.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from harness.data.dataset import TokenizedData
from harness.engine.job import Job
from harness.engine.scorers import SCORERS
from harness.engine.scoring import ScoreRequest, known_scores, missing_scores
from harness.engine.study import Task
from harness.plan.match import Match, PlannedArm, match_arm, plan_baseline
from harness.records.claim import Claim, ClaimArm
from harness.records.record import RunRecord
from harness.records.score import ScoreRecord
from harness.records.store import RunStore
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.spec.tokens import Arm, parse_arms
from harness.train.manner import Manner
from harness.train.precision import Precision
from variants.errors import UserError, nearest

MOE_MEASURES = ("max_violation", "load_entropy", "dead_experts", "drop_rate")
"""Of the mixtures of a run, averaged over its layers."""


@dataclass(frozen=True)
class Setting:
    """What all runs of a ledger share. `budget` or `num_steps` is of the baseline."""

    baseline: str
    spec: Spec  # with the tokenizer's vocab_size and the ledger's seq_len
    recipe: Recipe
    budget: float | None
    num_steps: int | None

    def with_heads(self, heads: int | None) -> Spec:
        if heads is None:
            return self.spec
        if self.spec.d_model % heads:
            raise UserError(f"{heads} heads do not divide d_model = {self.spec.d_model}; choose another --size")
        return self.spec.replace(n_heads=heads)


@dataclass(frozen=True)
class PlannedClaim:
    """A claim with its arms matched, in the order of their declaration."""

    claim: Claim
    arms: Mapping[str, PlannedArm]
    recipes: Mapping[str, Recipe]

    def tasks(self, data: TokenizedData, store: Path, device: str, checkpoint_seconds: float) -> list[Task]:
        """The claim's runs, seed by seed."""
        seeds = {arm.name: self.claim.seeds_of(arm) for arm in self.claim.arms}
        if not self.claim.trains:
            return []
        return [
            Task(
                arm.name,
                seed,
                Job(
                    spec=self.arms[arm.name].ledger.spec,
                    recipe=self.recipes[arm.name],
                    num_steps=self.arms[arm.name].num_steps,
                    training_flops_per_token=self.arms[arm.name].ledger.training_flops_per_token,
                    seed=seed,
                    data_sha256=data.sha256,
                    store=str(store),
                    device=device,
                    checkpoint_seconds=checkpoint_seconds,
                    manner=Manner(cast("Precision", arm.precision)),
                    scores=tuple(ScoreRequest(name) for name in dict.fromkeys([*self.claim.scores, *arm.scores])),
                ),
            )
            for seed in range(max(seeds.values(), default=0))
            for arm in self.claim.arms
            if seed < seeds[arm.name]
        ]


def plan_claim(claim: Claim, setting: Setting) -> PlannedClaim:
    """Match every arm of a claim.

    Raises:
        UserError: an arm's tokens are wrong or name several arms, a score is unknown, or an arm cannot be matched.
    """
    try:
        check_scores(claim)
        arms = {arm.name: planned_arm(claim, arm, setting) for arm in claim.arms}
    except UserError as error:
        raise UserError(f"claim {claim.id}: {error}") from error
    return PlannedClaim(claim, arms, {arm.name: recipe_of(arm, setting.recipe) for arm in claim.arms})


def planned_arm(claim: Claim, arm: ClaimArm, setting: Setting) -> PlannedArm:
    """One arm, with the baseline's training FLOPs times its own factor."""
    spec = setting.with_heads(claim.heads)
    found = parse_arms(arm.tokens, spec)
    if len(found) > 1:
        raise UserError(f"the arm {arm.name!r} names {len(found)} arms; declare each under its own [[arm]]")
    recipe = recipe_of(arm, setting.recipe)
    steps = None if setting.num_steps is None else max(1, round(setting.num_steps * arm.budget / arm.batch))
    budget = None if setting.budget is None else setting.budget * arm.budget
    first = plan_baseline(Arm(setting.baseline, spec), recipe.tokens_per_step, budget=budget, num_steps=steps)
    if not found:  # the baseline itself
        return dataclasses.replace(first, name=arm.name)
    return match_arm(Arm(arm.name, found[0].spec), first, cast("Match", arm.match or claim.match))


def recipe_of(arm: ClaimArm, recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, lr=recipe.lr * arm.lr, tokens_per_step=recipe.tokens_per_step * arm.batch)


def check_scores(claim: Claim) -> None:
    """Refuse a score that is unknown, or that takes options a claim cannot give."""
    known = [name for name in SCORERS if name != "lm-eval"]
    for name in (*claim.scores, *(score for arm in claim.arms for score in arm.scores)):
        if name not in known:
            raise UserError(f"unknown score {name!r}{nearest(name, known)}")


def merged(tasks: Sequence[Task]) -> list[Task]:
    """Each run once, with the scores that any of its tasks asks for, at the place of the first."""
    found: dict[str, Task] = {}
    for task in tasks:
        before = found.get(task.key)
        if before is None:
            found[task.key] = task
        else:
            scores = tuple(dict.fromkeys([*before.job.scores, *task.job.scores]))
            found[task.key] = dataclasses.replace(before, job=dataclasses.replace(before.job, scores=scores))
    return list(found.values())


def in_order(
    planned: Sequence[PlannedClaim],
    tasks: Mapping[str, Sequence[Task]],
    known: set[str],
    seconds: Callable[[Job], float],
) -> list[str]:
    """The claims' ids in the order that gives words early: those with a confirmatory question first, and among them
    always the one that needs the least training beside what is `known` (keys of runs) and what comes before.
    """
    left = {p.claim.id: p.claim for p in planned}
    have, order = set(known), []

    def cost(id: str) -> tuple[bool, float]:
        new = {t.key: t.job for t in tasks[id] if t.key not in have}
        return not any(q.confirmatory for q in left[id].questions), sum(map(seconds, new.values()))

    while left:
        first = min(left, key=cost)
        order.append(first)
        have |= {task.key for task in tasks[first]}
        del left[first]
    return order


def finished(task: Task, store: RunStore) -> RunRecord | None:
    """The record of a task's run when nothing more is to be done for it."""
    record = store.get(task.key)
    if record is None or missing_scores(record, task.job.scores, store):
        return None
    return record


def run_rows(tasks: Sequence[Task], store: RunStore) -> list[dict[str, Any]]:
    """The runs of a claim that have a record, as its evidence keeps them."""
    rows = []
    for task in tasks:
        record = store.get(task.key)
        if record is not None:
            wanted = task.job.scores if record.status == "finished" else ()
            scores = [score for score in known_scores(record, wanted, store) if score is not None]
            rows.append(
                {
                    "arm": task.arm,
                    "seed": task.seed,
                    "key": record.key,
                    "status": record.status,
                    "reason": record.reason,
                    "seconds": record.seconds,
                    "values": values_of(record, scores),
                }
            )
    return rows


def values_of(record: RunRecord, scores: Sequence[ScoreRecord]) -> dict[str, float | None]:
    """Every number of a run by name: its losses, its experts' balance, and by length or capacity what was scored."""
    values: dict[str, float | None] = dict(record.scores)
    layers = (record.moe_health or {}).get("layers", ())
    if layers:
        values |= {name: sum(layer[name] for layer in layers) / len(layers) for name in MOE_MEASURES}
    for score in (score for score in scores if score.status == "finished"):
        values |= {value.name: value.value for value in score.values}
        for point in score.detail.get("points", ()) if score.name == "extrapolation" else ():
            values[f"{point['mode']}_{point['ratio']:g}x"] = point["nats_per_token"]
            values[f"{point['mode']}_growth_{point['ratio']:g}x"] = point["growth"]
        if score.name == "capacity":
            values |= _of_capacities(score.detail.get("capacity", ()))
    return values


def _of_capacities(points: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """By capacity factor the loss, the share of visits dropped, and what the loss costs over no limit at all."""
    unlimited = next((p["nats_per_token"] for p in points if p["capacity"] is None), None)
    values: dict[str, float | None] = {}
    for point in points:
        name = "capacity_none" if point["capacity"] is None else f"capacity_{point['capacity']:g}"
        loss = point["nats_per_token"]
        cost = None if loss is None or unlimited is None else loss - unlimited
        values |= {f"{name}_loss": loss, f"{name}_cost": cost, f"{name}_drops": point["drop_rate"]}
    return values


def arm_facts(planned: PlannedClaim) -> list[dict[str, Any]]:
    """What a report says of each arm, and what may be counted of it."""
    facts = []
    for arm in planned.claim.arms:
        one, recipe = planned.arms[arm.name], planned.recipes[arm.name]
        spec = one.ledger.spec
        facts.append(
            {
                "name": arm.name,
                "tokens": " ".join(arm.tokens),
                "seeds": planned.claim.seeds_of(arm),
                "total": one.ledger.total_params,
                "active": one.ledger.active_params,
                "non_embedding": one.ledger.non_embedding_params,
                "flops_per_token": one.ledger.training_flops_per_token,
                "training_flops": one.training_flops,
                "tokens_read": one.num_tokens,
                "steps": one.num_steps,
                "d_ff": spec.d_ff,
                "heads": spec.n_heads,
                "mismatch": one.mismatch,
                "match": arm.match or planned.claim.match,
                "lr": recipe.lr,
                "tokens_per_step": recipe.tokens_per_step,
            }
        )
    return facts
