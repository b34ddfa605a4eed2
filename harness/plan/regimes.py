"""One contrast under every matching regime: what is equal is a choice, and a ranking can depend on it.

Equal FLOPs is the primary regime. Equal parameters and equal tokens ask about the function class and about scarce data;
equal wall clock asks the engineer's question, on this machine and these kernels; equal total parameters stands beside
every claim about a mixture of experts (definitions 3.1). A regime that an arm cannot be given says why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.plan.ledger import Ledger
from harness.plan.match import MULTIPLES, TOLERANCE, Match, PlannedArm, match_arm, solve_width
from harness.plan.study import Plan
from harness.spec.tokens import Arm
from variants.errors import UserError


@dataclass(frozen=True)
class RegimeArm:
    """An arm under one regime: planned, or `refused` with the sentence that says why."""

    arm: str
    regime: Match
    planned: PlannedArm | None
    refused: str = ""

    @property
    def name(self) -> str:
        """What the arm is called in the study of the secondary regimes."""
        return f"{self.arm} @{self.regime}"


def regimes_of(ledger: Ledger, baseline: Ledger) -> tuple[Match, ...]:
    """The regimes of an arm, the primary first. Parameters are of two kinds where one of the two models is a mixture:
    those that a token uses, and all of them.
    """
    mixed = any(each.total_params != each.active_params for each in (ledger, baseline))
    params: tuple[Match, ...] = ("active-params", "total-params") if mixed else ("params",)
    return ("flops", *params, "tokens", "time")


def plan_regimes(plan: Plan, relative_seconds: Mapping[str, float]) -> list[RegimeArm]:
    """Every arm of a FLOP-matched plan, the refused ones too, under all its regimes, arm by arm.

    Args:
        relative_seconds: of a training step at the FLOP-matched width, over the baseline's, by arm.
    """
    matched = {arm.name: arm for arm in plan.arms}
    refused = {arm.name: reason for arm, reason in plan.refused}
    rows = []
    for arm in unmatched(plan):
        for regime in regimes_of(timed_ledger(arm, plan.baseline), plan.baseline.ledger):
            if regime == "flops":
                rows.append(RegimeArm(arm.name, regime, matched.get(arm.name), refused.get(arm.name, "")))
            else:
                rows.append(_matched(arm, plan.baseline, regime, relative_seconds.get(arm.name)))
    return rows


def _matched(arm: Arm, baseline: PlannedArm, regime: Match, seconds: float | None) -> RegimeArm:
    try:
        if regime == "time":
            return RegimeArm(arm.name, regime, match_time(arm, baseline, seconds))
        return RegimeArm(arm.name, regime, match_arm(arm, baseline, regime))
    except UserError as error:
        return RegimeArm(arm.name, regime, None, str(error))


def unmatched(plan: Plan) -> list[Arm]:
    """The arms beside the baseline as they were before they were matched; a matcher sets their width again."""
    return [*(Arm(arm.name, arm.ledger.spec) for arm in plan.arms[1:]), *(arm for arm, _ in plan.refused)]


def timed_ledger(arm: Arm, baseline: PlannedArm) -> Ledger:
    """The arm at the width that `time` gives it: that of equal FLOPs per token, so that a difference between the two
    regimes is one of speed and not of size.
    """
    return solve_width(arm, baseline, "training_flops_per_token", MULTIPLES[0])


def match_time(arm: Arm, baseline: PlannedArm, relative_seconds: float | None) -> PlannedArm:
    """`arm` with as many steps as take the baseline's seconds.

    Raises:
        UserError: it was not timed, or a step is too large a share of the run to match within `TOLERANCE`.
    """
    if relative_seconds is None:
        raise UserError(f"{arm.name} cannot be matched by wall clock: its training step was not timed")
    wanted = baseline.num_steps / relative_seconds
    num_steps = max(1, round(wanted))
    mismatch = num_steps / wanted - 1
    if abs(mismatch) > TOLERANCE:
        raise UserError(
            f"{arm.name} cannot be matched: {num_steps} of its steps, each {relative_seconds:.3f} times as long as the "
            f"baseline's, are {mismatch:+.2%} of the baseline's {baseline.num_steps} steps in seconds (tolerance "
            f"{TOLERANCE:.1%}); raise --budget so that a step is a smaller share of it"
        )
    ledger = timed_ledger(arm, baseline)
    return PlannedArm(arm.name, ledger, num_steps, baseline.tokens_per_step, mismatch)


def time_plan(plan: Plan, relative_seconds: Mapping[str, float]) -> Plan:
    """A FLOP-matched plan's arms, matched by wall clock instead.

    Raises:
        UserError: an arm cannot be.
    """
    arms = (match_time(arm, plan.baseline, relative_seconds.get(arm.name)) for arm in unmatched(plan))
    return dataclasses.replace(plan, arms=(plan.baseline, *arms), match="time", refused=())


def secondary_plan(plan: Plan, rows: Iterable[RegimeArm]) -> Plan | None:
    """The arms under all regimes but the primary one, beside the same baseline; None where no regime has an arm."""
    planned = [(row.name, row.planned) for row in rows if row.regime != "flops" and row.planned is not None]
    arms: Sequence[PlannedArm] = [dataclasses.replace(arm, name=name) for name, arm in planned]
    if not arms:
        return None
    return dataclasses.replace(plan, arms=(plan.baseline, *arms), match="all", design=None, refused=())
