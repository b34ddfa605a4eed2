"""The FLOP counters and the matcher, against a product of the FLOPs they count."""

from __future__ import annotations

from typing import Literal

import pytest

from harness.plan import ledger
from harness.plan.match import match_arm, plan_baseline
from harness.plan.profile import profile
from harness.spec.spec import Spec
from harness.spec.tokens import Arm, parse_arms
from tests.benchmarks.regression.conftest import Compare
from tests.benchmarks.regression.reference import gemm
from tests.numerics.families import families

FAMILIES = families("2x48", 64)


def flops(spec: Spec) -> float:
    """Training FLOPs of one text."""
    return spec.seq_len * ledger.count(spec).training_flops_per_token


def count_anew(spec: Spec) -> ledger.Ledger:
    ledger.forget()
    return ledger.count(spec)


@pytest.mark.parametrize("name", ["gpt2", "mixtral-8x7b", "deepseek-v3"])
def test_ledger(compare: Compare, name: str) -> None:
    spec = FAMILIES[name]
    compare(lambda: count_anew(spec), gemm(flops(spec)))


@pytest.mark.parametrize("name", ["gpt2", "mixtral-8x7b"])
def test_operation_counter(compare: Compare, name: str) -> None:
    spec = FAMILIES[name]
    compare(lambda: profile(spec, batch_size=1), gemm(flops(spec)))


@pytest.mark.parametrize("match", ["flops", "params"])
def test_matcher(compare: Compare, match: Literal["flops", "params"]) -> None:
    spec = FAMILIES["gpt2"]
    baseline, (arm,) = Arm("gpt2", spec), parse_arms(["activation=swiglu", "position=rope"], spec)

    def solve() -> None:
        ledger.forget()
        match_arm(arm, plan_baseline(baseline, 512, num_steps=1000), match)

    compare(solve, gemm(flops(spec)))
