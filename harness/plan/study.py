"""A study's plan: the baseline and every arm at its budget, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.plan.match import Match, PlannedArm, match_arm, plan_baseline
from harness.spec.designs import Design, DesignChoice, make_design
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.spec.tokens import Arm


@dataclass(frozen=True)
class Plan:
    """The arms of a study, the baseline first. `own_recipes` has those of arms that are not trained by `recipe`; no
    `design` is a joint one.
    """

    arms: tuple[PlannedArm, ...]
    match: Match
    recipe: Recipe
    own_recipes: tuple[tuple[str, Recipe], ...] = ()
    design: Design | None = None

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
    design: DesignChoice | None = None,
) -> Plan:
    """Match every arm that the design makes of `tokens` to the baseline.

    Raises:
        UserError: a token is wrong, does not go with the design, a variant refuses the sizes, or an arm cannot be
            matched.
    """
    made = make_design(design or DesignChoice(), tokens, baseline_name, baseline)
    first = plan_baseline(Arm(baseline_name, baseline), recipe.tokens_per_step, budget=budget, num_steps=num_steps)
    arms = (match_arm(cell.arm, first, match) for cell in made.cells)
    return Plan((first, *arms), match, recipe, design=made)
