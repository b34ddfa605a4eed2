"""The rungs of a ladder: one plan each, and what is shared by all of them when they branch off one trunk."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from harness.plan.match import PlannedArm, plan_baseline
from harness.plan.study import Plan
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.spec.tokens import Arm
from variants.errors import UserError

TOKENS_PER_PARAMETER = 20.0
"""Of the baseline's active parameters: where Hoffmann et al. 2022 (arXiv:2203.15556) find compute spent best."""


@dataclass(frozen=True)
class PlannedRung:
    """A rung and its study's plan."""

    label: str
    plan: Plan


def steps_for(name: str, baseline: Spec, tokens_per_step: int, tokens_per_parameter: float) -> int:
    """Steps of the baseline after which it has seen so many tokens for each active parameter, at least one."""
    sized = plan_baseline(Arm(name, baseline), tokens_per_step, num_steps=1)
    return max(1, round(tokens_per_parameter * sized.ledger.num_params["active"] / tokens_per_step))


def check_rungs(rungs: Sequence[PlannedRung]) -> None:
    """Raises `UserError` where a rung does not take more compute than the one before it."""
    for small, large in itertools.pairwise(rungs):
        a, b = (rung.plan.baseline.training_flops for rung in (small, large))
        if b <= a:
            raise UserError(
                f"every rung of a ladder takes more compute than the one before it, and {large.label} has {b:.4g} "
                f"training FLOPs after {small.label} with {a:.4g}; order them, or set them further apart"
            )


def with_trunk(rungs: Sequence[PlannedRung]) -> list[PlannedRung]:
    """The same rungs as branches of one trunk an arm and seed: the warm-up is that of the baseline's shortest run.

    Raises:
        UserError: a branch would leave its trunk before the warm-up is over.
    """
    first = rungs[0].plan
    warmup = first.recipe.warmup_of(first.baseline.num_steps)

    def shared(recipe: Recipe) -> Recipe:
        return dataclasses.replace(recipe, warmup_steps=warmup)

    made = []
    for rung in rungs:
        own = tuple((name, shared(recipe)) for name, recipe in rung.plan.own_recipes)
        plan = dataclasses.replace(rung.plan, recipe=shared(rung.plan.recipe), own_recipes=own, from_trunk=True)
        for arm in plan.arms:
            _check_branch(arm, plan.recipe_of(arm.name), rung.label)
        made.append(PlannedRung(rung.label, plan))
    return made


def annealed_alone(plan: Plan) -> Plan:
    """The plan with the default schedule, each run annealed on its own: what branches are compared with."""

    def alone(recipe: Recipe) -> Recipe:
        return dataclasses.replace(recipe, schedule="cosine", warmup_steps=None)

    own = tuple((name, alone(recipe)) for name, recipe in plan.own_recipes)
    return dataclasses.replace(plan, recipe=alone(plan.recipe), own_recipes=own, from_trunk=False)


def _check_branch(arm: PlannedArm, recipe: Recipe, label: str) -> None:
    step, warmup = recipe.branch_step(arm.num_steps), recipe.warmup_of(arm.num_steps)
    if step <= warmup or step == arm.num_steps:
        raise UserError(
            f"{arm.name} at {label} has {arm.num_steps} steps, and a branch leaves its trunk after the warm-up of "
            f"{warmup} and before the last; raise the smallest budget"
        )
