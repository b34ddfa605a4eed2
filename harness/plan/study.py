"""A study's plan: the baseline and every arm at its budget, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.plan.match import Match, PlannedArm, match_arm, plan_baseline
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.spec.tokens import Arm, parse_arms
from variants.errors import UserError


@dataclass(frozen=True)
class Plan:
    """The arms of a study, the baseline first. `own_recipes` has those of arms that are not trained by `recipe`."""

    arms: tuple[PlannedArm, ...]
    match: Match
    recipe: Recipe
    own_recipes: tuple[tuple[str, Recipe], ...] = ()

    @property
    def baseline(self) -> PlannedArm:
        return self.arms[0]

    def recipe_of(self, arm: str) -> Recipe:
        """How the arm of that name is trained."""
        return dict(self.own_recipes).get(arm, self.recipe)


def plan_study(
    tokens: Sequence[str],
    baseline_name: str,
    baseline: Spec,
    recipe: Recipe,
    match: Match,
    *,
    budget: float | None,
    num_steps: int | None,
) -> Plan:
    """Match every arm that `tokens` name to the baseline.

    Raises:
        UserError: a token is wrong, a variant refuses the sizes, or an arm cannot be matched.
    """
    if not tokens:
        raise UserError("name at least one slot=variant to compare, e.g. norm=rms; --list shows them all")
    arms = parse_arms(tokens, baseline)
    first = plan_baseline(Arm(baseline_name, baseline), recipe.tokens_per_step, budget=budget, num_steps=num_steps)
    return Plan((first, *(match_arm(arm, first, match) for arm in arms)), match, recipe)
