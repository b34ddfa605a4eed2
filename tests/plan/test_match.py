"""Every arm gets the baseline's budget, and what is left over is said."""

from __future__ import annotations

import pytest

from harness.plan.match import TOLERANCE, PlannedArm, match_arm, plan_baseline
from harness.plan.study import plan_study
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.spec.tokens import Arm, parse_arms
from variants.errors import UserError

BASELINE = Spec()


def baseline(budget: float = 1e12, spec: Spec = BASELINE) -> PlannedArm:
    return plan_baseline(Arm("gpt2", spec), 512, budget=budget)


def arm(*tokens: str, spec: Spec = BASELINE) -> Arm:
    return parse_arms(tokens, spec)[0]


def test_the_baseline_spends_its_budget() -> None:
    planned = baseline()
    step = 512 * planned.ledger.training_flops_per_token
    assert abs(planned.training_flops - 1e12) <= step / 2
    assert planned.num_tokens == planned.num_steps * 512


@pytest.mark.parametrize("d_model", [48, 96, 192, 384])
def test_a_gated_ffn_gets_two_thirds_of_the_width(d_model: int) -> None:
    """Shazeer 2020: three matrices of 8d/3 cost what two of 4d do; exact where 3 divides d."""
    spec = BASELINE.replace(d_model=d_model, n_heads=2)
    first = baseline(1e13, spec)
    planned = match_arm(arm("activation=swiglu", spec=spec), first, "flops")
    assert planned.ledger.spec.d_ff == 8 * d_model // 3
    assert planned.mismatch == 0.0


@pytest.mark.parametrize(
    "tokens", [["norm=rms"], ["ffn=moe"], ["ffn=mixffn"], ["ffn=moe", "activation=swiglu"], ["position=none"]]
)
def test_flops_match_within_tolerance(tokens: list[str]) -> None:
    first = baseline()
    planned = match_arm(arm(*tokens), first, "flops")
    assert abs(planned.mismatch) <= TOLERANCE
    assert planned.mismatch == pytest.approx(planned.training_flops / first.training_flops - 1, abs=1e-12)


@pytest.mark.parametrize("tokens", [["norm=rms"], ["ffn=moe"], ["activation=swiglu"], ["ffn=mixffn"]])
def test_params_match_within_tolerance(tokens: list[str]) -> None:
    first = baseline()
    planned = match_arm(arm(*tokens), first, "params")
    assert abs(planned.ledger.total_params / first.ledger.total_params - 1) <= TOLERANCE
    assert planned.num_tokens == first.num_tokens


@pytest.mark.parametrize("tokens", [["norm=rms"], ["ffn=moe"], ["ffn=moe", "ffn.top_k=1"]])
def test_a_mixture_has_two_kinds_of_parameters(tokens: list[str]) -> None:
    first = baseline()
    active = match_arm(arm(*tokens), first, "active-params")
    total = match_arm(arm(*tokens), first, "total-params")
    assert abs(active.ledger.active_params / first.ledger.active_params - 1) <= TOLERANCE
    assert abs(total.ledger.total_params / first.ledger.total_params - 1) <= TOLERANCE
    assert active.num_tokens == total.num_tokens == first.num_tokens
    assert total == match_arm(arm(*tokens), first, "params")
    assert (active.ledger.spec.d_ff == total.ledger.spec.d_ff) == ("ffn=moe" not in tokens)


def test_tokens_match_keeps_the_width() -> None:
    first = baseline()
    planned = match_arm(arm("activation=swiglu"), first, "tokens")
    assert (planned.num_tokens, planned.ledger.spec.d_ff) == (first.num_tokens, first.ledger.spec.d_ff)
    assert planned.mismatch == 0.0


def test_a_cheaper_arm_sees_more_tokens_of_the_same_budget() -> None:
    first = baseline()
    planned = match_arm(arm("ffn=moe"), first, "flops")
    cheaper = planned.ledger.training_flops_per_token < first.ledger.training_flops_per_token
    assert cheaper == (planned.num_tokens > first.num_tokens)


def test_an_arm_that_cannot_be_matched_is_refused_with_the_numbers() -> None:
    first = baseline(3e9)  # 12 steps, so that one step is 8 %
    with pytest.raises(UserError, match=r"cannot be matched: \d+ steps are .* training FLOPs, [+-]\d"):
        match_arm(arm("ffn=moe"), first, "flops")
    with pytest.raises(UserError, match=r"cannot be matched: with d_ff = \d+ it has [\d,]+ parameters"):
        match_arm(arm("ffn=moe", "ffn.num_experts=4096"), baseline(), "params")


def test_a_budget_below_one_step_is_refused() -> None:
    with pytest.raises(UserError, match="less than one step"):
        baseline(1e6)


def test_no_token_is_refused() -> None:
    with pytest.raises(UserError, match="at least one slot=variant"):
        plan_study([], "gpt2", BASELINE, Recipe(), "flops", budget=1e12, num_steps=None)
