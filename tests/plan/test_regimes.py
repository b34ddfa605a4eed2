"""One contrast under every regime: what is equal is equal, and a regime that cannot be had says why."""

from __future__ import annotations

import pytest

from harness.plan.match import TOLERANCE
from harness.plan.regimes import RegimeArm, match_time, plan_regimes, secondary_plan, time_plan
from harness.plan.study import Plan, plan_study
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.spec.tokens import Arm
from variants.errors import UserError


def planned(*tokens: str, budget: float = 1e12) -> Plan:
    return plan_study(tokens, "gpt2", Spec(), Recipe(), "flops", budget=budget, num_steps=None, go_on=True)


def rows(plan: Plan, seconds: dict[str, float]) -> dict[str, RegimeArm]:
    return {row.regime: row for row in plan_regimes(plan, seconds)}


def test_each_regime_makes_its_quantity_equal() -> None:
    plan = planned("activation=swiglu")
    found = rows(plan, {"activation=swiglu": 1.25})
    assert list(found) == ["flops", "params", "tokens", "time"]
    first = plan.baseline
    arms = {regime: row.planned for regime, row in found.items() if row.planned is not None}
    assert arms["flops"].training_flops == pytest.approx(first.training_flops, rel=TOLERANCE)
    assert arms["params"].ledger.total_params == pytest.approx(first.ledger.total_params, rel=TOLERANCE)
    assert arms["tokens"].ledger.spec.d_ff == first.ledger.spec.d_ff
    assert {arms[regime].num_tokens for regime in ("params", "tokens")} == {first.num_tokens}
    assert 1.25 * arms["time"].num_steps == pytest.approx(first.num_steps, rel=TOLERANCE)
    assert arms["time"].ledger == arms["flops"].ledger, "the two differ in speed and not in size"


def test_a_mixture_is_matched_by_active_and_by_total_parameters() -> None:
    plan = planned("ffn=moe")
    found = rows(plan, {"ffn=moe": 1.7})
    assert list(found) == ["flops", "active-params", "total-params", "tokens", "time"]
    total = found["total-params"].planned
    assert total is not None
    assert total.ledger.total_params == pytest.approx(plan.baseline.ledger.total_params, rel=TOLERANCE)


def test_seconds_that_cannot_be_equal_are_refused() -> None:
    plan = planned("norm=rms", budget=3e9)  # 12 steps
    arm = Arm("norm=rms", plan.arms[1].ledger.spec)
    with pytest.raises(UserError, match=r"norm=rms cannot be matched: 10 of its steps, each 1.150 times as long"):
        match_time(arm, plan.baseline, 1.15)
    with pytest.raises(UserError, match="was not timed"):
        match_time(arm, plan.baseline, None)
    row = rows(plan, {"norm=rms": 1.15})["time"]
    assert row.planned is None
    assert "tolerance 0.5%" in row.refused


def test_an_arm_that_one_regime_refuses_goes_on_in_the_others() -> None:
    plan = planned("ffn=moe", budget=3e9)
    assert [arm.name for arm in plan.arms] == ["gpt2"]
    found = rows(plan, {"ffn=moe": 1.0})
    assert "training FLOPs" in found["flops"].refused
    assert found["tokens"].planned is not None
    beside = secondary_plan(plan, found.values())
    assert beside is not None
    names = [arm.name for arm in beside.arms]
    assert names[0] == "gpt2"
    assert "ffn=moe @flops" not in names
    assert "ffn=moe @tokens" in names
    assert beside.arms[0] == plan.baseline, "so that its runs are shared"


def test_a_plan_by_time_alone() -> None:
    plan = time_plan(planned("norm=rms"), {"norm=rms": 0.9})
    assert plan.match == "time"
    assert 0.9 * plan.arms[1].num_steps == pytest.approx(plan.baseline.num_steps, rel=TOLERANCE)
