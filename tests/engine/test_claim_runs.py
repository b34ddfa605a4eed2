"""The article's claims can be run: every arm is matched at the default scale, and claims share what they can."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.engine.claim_checks import require_checks
from harness.engine.claim_runs import PlannedClaim, Setting, in_order, merged, plan_claim, values_of
from harness.engine.job import Job
from harness.engine.scoring import ScoreRequest
from harness.engine.study import Task
from harness.plan.match import TOLERANCE
from harness.records.claim import read_claims
from harness.records.record import RunRecord
from harness.records.score import ScoreRecord
from harness.spec.presets import preset
from harness.spec.recipe import Recipe
from harness.spec.sizes import resize

NANO = Setting("gpt2", resize(preset("gpt2"), "nano").replace(vocab_size=257), Recipe(), 1e12, None)


@pytest.fixture(scope="module")
def planned() -> dict[str, PlannedClaim]:
    return {claim.id: plan_claim(claim, NANO) for claim in read_claims()}


def test_every_arm_is_matched(planned: dict[str, PlannedClaim]) -> None:
    for id, found in planned.items():
        require_checks(found.claim)
        for name, arm in found.arms.items():
            assert abs(arm.mismatch) <= TOLERANCE, (id, name)
    budgets = {name: arm.training_flops for name, arm in planned["C10"].arms.items()}
    assert budgets["dense at 4 budgets"] / budgets["dense"] == pytest.approx(4, rel=1e-3)
    batch = planned["C7"]
    assert batch.recipes["rms, batch 2"] == Recipe(lr=pytest.approx(8e-3), tokens_per_step=1024)  # type: ignore[arg-type]
    assert batch.arms["rms, batch 2"].num_tokens == pytest.approx(batch.arms["rms"].num_tokens, rel=1e-3)


def test_an_arm_trains_in_its_own_precision(planned: dict[str, PlannedClaim]) -> None:
    data: Any = SimpleNamespace(sha256="0" * 64)
    tasks = planned["C7"].tasks(data, Path("store"), "cpu", 15.0)
    found = {task.arm: task.job.manner.precision for task in tasks}
    assert found["rms, bf16"] == found["layer, bf16"] == "bf16"
    assert {name for name, precision in found.items() if precision == "fp32"} == {
        *("layer", "rms", "layer, batch 2", "rms, batch 2")
    }
    assert len({task.job.key for task in tasks}) == len(tasks)


def test_arms_are_what_their_claims_say(planned: dict[str, PlannedClaim]) -> None:
    fine = {name: arm.ledger for name, arm in planned["C11"].arms.items()}
    totals = [ledger.total_params for ledger in fine.values()]
    assert max(totals) / min(totals) < 1.03
    params = planned["C17"].arms
    equal = params["switch 4, equal parameters"].ledger
    assert equal.total_params == pytest.approx(params["dense"].ledger.total_params, rel=TOLERANCE)
    assert equal.training_flops_per_token < 0.8 * params["dense"].ledger.training_flops_per_token
    assert {arm.ledger.spec.n_heads for arm in planned["C8"].arms.values()} == {4}
    gated = planned["C1"].arms
    assert gated["swiglu"].ledger.training_flops_per_token == gated["gelu"].ledger.training_flops_per_token


def test_equal_arms_of_two_claims_are_one_run(planned: dict[str, PlannedClaim]) -> None:
    def spec_of(id: str, name: str) -> tuple[object, object, int]:
        return planned[id].arms[name].ledger.spec, planned[id].recipes[name], planned[id].arms[name].num_steps

    assert spec_of("C10", "switch 8") == spec_of("C12", "weight 0.01") == spec_of("C13", "switch 8")
    assert spec_of("C1", "gelu") == spec_of("C6", "layer") == spec_of("C10", "dense") == spec_of("C16", "dense")
    assert spec_of("C11", "coarse") == spec_of("C12", "sequence-wise, top 2")


def job(seed: int, *scores: str, steps: int = 10) -> Job:
    return Job(NANO.spec, Recipe(), steps, 1.0, seed, "0" * 64, "store", "cpu", scores=tuple(map(ScoreRequest, scores)))


def test_a_run_of_two_claims_has_the_scores_of_both() -> None:
    tasks = [Task("a", 0, job(0, "position")), Task("b", 1, job(1)), Task("c", 0, job(0, "extrapolation", "position"))]
    first, second = merged(tasks)
    assert [request.name for request in first.job.scores] == ["position", "extrapolation"]
    assert (first.arm, second.arm) == ("a", "b")


def test_confirmatory_claims_come_first_and_the_cheapest_of_them(planned: dict[str, PlannedClaim]) -> None:
    chosen = [planned[id] for id in ("C1", "C6", "C7", "C16")]
    runs = {"C1": range(30), "C6": range(20), "C7": range(1), "C16": range(31)}
    tasks = {id: [Task(id, seed, job(seed)) for seed in seeds] for id, seeds in runs.items()}
    assert in_order(chosen, tasks, set(), lambda job: 1.0) == ["C6", "C1", "C7", "C16"]
    known = {task.job.key for task in tasks["C1"][20:]} | {task.job.key for task in tasks["C1"][:15]}
    assert in_order(chosen, tasks, known, lambda job: 1.0)[0] == "C1", (
        "what is known costs nothing: 5 runs each, by order"
    )


def test_values_of_a_run_by_name() -> None:
    layers = [{"max_violation": m, "load_entropy": 1.0, "dead_experts": 0.0, "drop_rate": 0.0} for m in (1.0, 3.0)]
    record = RunRecord("k", {}, "finished", "", {"nats_per_byte": 1.5}, moe_health={"layers": layers})
    points = [{"mode": "sliding", "ratio": 2.0, "nats_per_token": 2.5, "growth": 0.5}]
    capacity = [
        {"capacity": c, "nats_per_token": n, "drop_rate": d} for c, n, d in ((1.25, 1.7, 0.1), (None, 1.5, 0.0))
    ]
    scores = [
        ScoreRecord("k", {}, "k", "extrapolation", "finished", "", detail={"points": points}),
        ScoreRecord("k", {}, "k", "capacity", "finished", "", detail={"capacity": capacity}),
        ScoreRecord("k", {}, "k", "position", "failed", "no text"),
    ]
    values = values_of(record, scores)
    assert values["nats_per_byte"] == 1.5
    assert values["max_violation"] == 2.0
    assert values["sliding_2x"] == 2.5
    assert values["sliding_growth_2x"] == 0.5
    assert values["capacity_1.25_cost"] == pytest.approx(0.2)
    assert values["capacity_1.25_drops"] == 0.1
    assert values["capacity_none_cost"] == 0.0
