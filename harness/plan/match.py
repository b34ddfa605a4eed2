"""Give every arm the baseline's budget: solve the FFN width, then the number of steps; say what is left over.

| --match       | equal                                 | solved                                     |
|---------------|---------------------------------------|--------------------------------------------|
| flops         | training FLOPs of the whole run       | d_ff to FLOPs per token, then steps        |
| params        | total parameters, and tokens          | d_ff                                       |
| total-params  | the same, as a mixture's row names it | d_ff                                       |
| active-params | parameters a token uses, and tokens   | d_ff                                       |
| tokens        | tokens, and d_ff                      | nothing                                    |
| time          | measured seconds of training          | d_ff to FLOPs per token, then steps        |

`time` needs measured steps: harness/plan/regimes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.plan.ledger import Ledger, count, quantity_of_ffns
from harness.spec.spec import Spec
from harness.spec.tokens import Arm
from variants.errors import UserError

Match = Literal["flops", "params", "active-params", "total-params", "tokens", "time"]

MATCHES: tuple[Match, ...] = ("flops", "params", "active-params", "total-params", "tokens")
"""Those that need nothing measured."""

QUANTITIES = {"params": "total_params", "total-params": "total_params", "active-params": "active_params"}
"""What of a ledger is equal, by regime of parameters."""

TOLERANCE = 0.005
"""Largest mismatch of the matched quantity, as a share of the baseline's (definitions 3.1: 0.5 %)."""

MULTIPLES = (8, 4, 2, 1)
"""Granularities tried for a solved d_ff, coarsest first: kernels like multiples of 8."""


@dataclass(frozen=True)
class PlannedArm:
    """An arm with its width and length decided. `mismatch` is signed, a share of the baseline's quantity."""

    name: str
    ledger: Ledger
    num_steps: int
    tokens_per_step: int
    mismatch: float

    @property
    def num_tokens(self) -> int:
        return self.num_steps * self.tokens_per_step

    @property
    def training_flops(self) -> float:
        return self.num_tokens * self.ledger.training_flops_per_token


def plan_baseline(
    arm: Arm, tokens_per_step: int, *, budget: float | None = None, num_steps: int | None = None
) -> PlannedArm:
    """The baseline at a budget of training FLOPs, or for a given number of steps.

    Raises:
        UserError: the budget is too small for one step, or a size is refused.
    """
    ledger = count(with_width(arm.spec, arm.spec.d_ff or 4 * arm.spec.d_model))
    step_flops = tokens_per_step * ledger.training_flops_per_token
    if num_steps is None:
        assert budget is not None
        if budget < step_flops:
            raise UserError(
                f"--budget {budget:.3g} is less than one step of {arm.name}, {step_flops:.3g} training FLOPs; "
                "raise it, or make the model or --tokens-per-step smaller"
            )
        num_steps = round(budget / step_flops)
    return PlannedArm(arm.name, ledger, num_steps, tokens_per_step, 0.0)


def match_arm(arm: Arm, baseline: PlannedArm, match: Match) -> PlannedArm:
    """`arm` with the budget of `baseline`.

    Raises:
        UserError: it cannot be matched within `TOLERANCE`; the sentence has the numbers.
    """
    if match == "tokens":
        ledger = count(with_width(arm.spec, baseline.ledger.spec.d_ff))
        return PlannedArm(arm.name, ledger, baseline.num_steps, baseline.tokens_per_step, 0.0)
    if match in QUANTITIES:
        return _match_params(arm, baseline, QUANTITIES[match])
    assert match == "flops", f"{match} is matched by harness/plan/regimes.py"
    return _match_flops(arm, baseline)


def _match_flops(arm: Arm, baseline: PlannedArm) -> PlannedArm:
    ledger = solve_width(arm, baseline, "training_flops_per_token", MULTIPLES[0])
    step_flops = baseline.tokens_per_step * ledger.training_flops_per_token
    num_steps = max(1, round(baseline.training_flops / step_flops))
    mismatch = num_steps * step_flops / baseline.training_flops - 1
    if abs(mismatch) > TOLERANCE:
        raise UserError(
            f"{arm.name} cannot be matched: {num_steps} steps are {num_steps * step_flops:.4g} training FLOPs, "
            f"{mismatch:+.2%} of the baseline's {baseline.training_flops:.4g} (tolerance {TOLERANCE:.1%}); "
            "raise --budget so that a step is a smaller share of it"
        )
    return PlannedArm(arm.name, ledger, num_steps, baseline.tokens_per_step, mismatch)


def _match_params(arm: Arm, baseline: PlannedArm, quantity: str) -> PlannedArm:
    target = getattr(baseline.ledger, quantity)
    mismatch, ledger = 0.0, baseline.ledger
    for multiple in MULTIPLES:
        ledger = solve_width(arm, baseline, quantity, multiple)
        mismatch = getattr(ledger, quantity) / target - 1
        if abs(mismatch) <= TOLERANCE:
            return PlannedArm(arm.name, ledger, baseline.num_steps, baseline.tokens_per_step, mismatch)
    what = quantity.replace("_params", " parameters").removeprefix("total ")
    raise UserError(
        f"{arm.name} cannot be matched: with d_ff = {ledger.spec.d_ff} it has {getattr(ledger, quantity):,} {what}, "
        f"{mismatch:+.2%} of the baseline's {target:,} (tolerance {TOLERANCE:.1%}); "
        "choose other options, a larger --size, or --match flops"
    )


def solve_width(arm: Arm, baseline: PlannedArm, quantity: str, multiple: int) -> Ledger:
    """The ledger of `arm` at the d_ff that brings `quantity` nearest to the baseline's.

    Every cost is affine in d_ff, and only the FFNs have it, so theirs at two widths give the slope. The baseline's own
    d_ff is kept where it already matches exactly; otherwise d_ff is a multiple of `multiple`, and at least that. The
    ledger is a count of its own at the width that is found: what the line might miss is in the mismatch.
    """
    target, own = getattr(baseline.ledger, quantity), baseline.ledger.spec.d_ff
    assert own is not None, "the baseline's width is solved"
    kept = count(with_width(arm.spec, own))
    if getattr(kept, quantity) == target:
        return kept
    narrow, wide = (quantity_of_ffns(with_width(arm.spec, width), quantity) for width in (own, 2 * own))
    if wide <= narrow:
        return kept
    width = own + (target - getattr(kept, quantity)) * own / (wide - narrow)
    return count(with_width(arm.spec, max(multiple, round(width / multiple) * multiple)))


def with_width(spec: Spec, d_ff: int | None) -> Spec:
    return spec.replace(d_ff=d_ff)
