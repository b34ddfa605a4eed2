"""A study's plan: the baseline and every arm at its budget, checked before anything is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.plan.match import Match, PlannedArm, match_arm, plan_baseline
from harness.spec.designs import Design, DesignChoice, make_design
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.spec.tokens import Arm
from variants.errors import UserError


@dataclass(frozen=True)
class Plan:
    """The arms of a study, the baseline first. `own_recipes` has those of arms that are not trained by `recipe`; no
    `design` is a joint one.

    `match` "all": each arm is matched by what its name says (harness/plan/regimes.py). `refused` has the arms that
    could not be matched, with the reason, where the plan goes on without them.
    """

    arms: tuple[PlannedArm, ...]
    match: Match | Literal["all"]
    recipe: Recipe
    own_recipes: tuple[tuple[str, Recipe], ...] = ()
    design: Design | None = None
    refused: tuple[tuple[Arm, str], ...] = ()
    from_trunk: bool = False  # runs decay from a trunk that plans of other lengths share: plan/ladder.py

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
    go_on: bool = False,
) -> Plan:
    """Match every arm that the design makes of `tokens` to the baseline.

    Args:
        go_on: an arm that cannot be matched becomes one of the plan's `refused`.

    Raises:
        UserError: a token is wrong, does not go with the design, a variant refuses the sizes, or an arm cannot be
            matched.
    """
    made = make_design(design or DesignChoice(), tokens, baseline_name, baseline)
    first = plan_baseline(Arm(baseline_name, baseline), recipe.tokens_per_step, budget=budget, num_steps=num_steps)
    matched: list[PlannedArm] = []
    refused: list[tuple[Arm, str]] = []
    for arm in (cell.arm for cell in made.cells):
        try:
            matched.append(match_arm(arm, first, match))
        except UserError as error:
            if not go_on:
                raise
            refused.append((arm, str(error)))
    out = {arm.name for arm, _ in refused}
    made = dataclasses.replace(made, cells=tuple(cell for cell in made.cells if cell.arm.name not in out))
    return Plan((first, *matched), match, recipe, design=made, refused=tuple(refused))
