"""A few arms use every variant of a plan, and no more are taken than that needs."""

from __future__ import annotations

import pytest

from harness.ablate import parser
from harness.cli import prepare
from harness.cli.prepare import choose_step_for, plan_for
from harness.plan.cover import cover
from harness.spec.spec import Spec

CROSSED = ["norm=layer,rms,crms", "activation=gelu,relu,silu", "position=learned,rope", "--budget", "1e14"]


def test_as_many_arms_as_the_fullest_slot_has_variants() -> None:
    plan = plan_for(parser().parse_args(CROSSED), 257)
    few = cover(plan.arms)
    assert len(plan.arms) == 18
    assert len(few) == 3
    used = {pair for arm in plan.arms for pair in arm.ledger.spec.variants()}
    assert {pair for arm in few for pair in arm.ledger.spec.variants()} == used


def test_two_arms_are_both_taken() -> None:
    plan = plan_for(parser().parse_args(["norm=rms"]), 257)
    assert cover(plan.arms) == list(plan.arms)


@pytest.mark.parametrize(("tokens", "recorded"), [(CROSSED, 3), (["norm=rms,crms", "--budget", "1e14"], 3)])
def test_the_steps_of_few_arms_are_recorded(tokens: list[str], recorded: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Spec] = []
    monkeypatch.setattr(prepare, "find_compiler", lambda: "g++")
    monkeypatch.setattr(prepare, "cannot_compile", lambda device: None)
    monkeypatch.setattr(prepare, "obstacle", lambda spec, recipe: asked.append(spec))
    args = parser().parse_args([*tokens, "--device", "cpu"])
    assert choose_step_for(args, plan_for(args, 257)).step == "compiled"
    assert len(asked) == recorded
