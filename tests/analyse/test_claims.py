"""From evidence to numbers and words: every measure by hand, what is lost or not there yet, and the family."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import stats

from harness.analyse.claim_curves import claim_curves
from harness.analyse.claims import Finding, claim_line, results, tally, value_text
from harness.analyse.claims_forest import claim_panels
from harness.records.claim import claim_from, claim_json
from harness.records.evidence import EvidenceRecord, LedgerRecord

LOSSES = {"base": [1.50, 1.52, 1.54, 1.56], "arm": [1.47, 1.50, 1.50, 1.54]}


def question(name: str = "loss", **keys: Any) -> dict[str, Any]:
    usual = {"measure": "contrast", "weights": {"arm": 1, "base": -1}, "rule": "below", "unit": "nats per byte"}
    return {"name": name, "says": "arm minus base", **(usual if "measure" not in keys else {}), **keys}


def evidence(
    *questions: dict[str, Any],
    id: str = "X1",
    losses: dict[str, list[float]] | None = None,
    status: dict[tuple[str, int], str] | None = None,
    arms: dict[str, dict[str, Any]] | None = None,
    **more: Any,
) -> EvidenceRecord:
    """A claim of two arms and four seeds whose losses are `LOSSES`."""
    losses = losses or LOSSES
    declared = {
        "id": id,
        "title": "a claim",
        "statement": "a claim",
        "matched": "nothing",
        "seeds": max(len(values) for values in losses.values()),
        "arm": [{"name": name, "seeds": len(values)} for name, values in losses.items()],
        "source": [{"key": "none", "where": "nobody", "figures": "none"}],
        "question": list(questions),
        "timing": [{"name": "speed", "arms": list(losses)}],
    }
    runs = [
        {
            "arm": name,
            "seed": seed,
            "key": f"{name}{seed}",
            "status": (status or {}).get((name, seed), "finished"),
            "reason": "",
            "seconds": 1.0,
            "values": {"nats_per_byte": loss, "perplexity": math.exp(loss)},
        }
        for name, values in losses.items()
        for seed, loss in enumerate(values)
    ]
    usual = {"training_flops": 1e9, "total": 100, "tokens_per_step": 512, "match": "flops", "lr": 1.0}
    facts = {name: {"name": name, "tokens": name, **usual, **(arms or {}).get(name, {})} for name in losses}
    return EvidenceRecord(claim_json(claim_from(declared, "here")), list(facts.values()), runs, **more)


def ledger(*family: list[str]) -> LedgerRecord:
    return LedgerRecord([], "", "nano", "2x48", 1e12, 4068, 128, {}, {}, {}, list(family))


def findings(record: EvidenceRecord, *family: list[str]) -> list[Finding]:
    (result,) = results(ledger(*family), {"X1": record})
    return list(result.findings)


def test_a_contrast_is_a_paired_t_test() -> None:
    (found,) = findings(evidence(question()))
    expected = stats.ttest_rel(LOSSES["arm"], LOSSES["base"])
    assert found.value == pytest.approx(-0.0275)
    assert found.ci95 == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.seeds == 4
    assert found.word == "supported", "its null has no SESOI, and the interval is below it"
    assert findings(evidence(question(sesoi=0.015)))[0].word == "direction only"
    assert findings(evidence(question(rule="above")))[0].word == "refuted"
    assert value_text(found) == "-0.0275 [-0.0427, -0.0123] nats per byte"


def test_weights_make_interactions_and_other_scores() -> None:
    (found,) = findings(evidence(question(weights={"arm": 0.5, "base": 0.5}, score="perplexity")))
    means = [(math.exp(a) + math.exp(b)) / 2 for a, b in zip(LOSSES["arm"], LOSSES["base"], strict=True)]
    assert found.value == pytest.approx(sum(means) / 4)
    (found,) = findings(evidence(question(score="bleu")))
    assert (found.word, found.reason) == ("inconclusive", "arm and base has no bleu")


def test_fewer_seeds_of_an_arm_leave_the_others_out() -> None:
    (found,) = findings(evidence(question(), losses={**LOSSES, "arm": LOSSES["arm"][:3]}))
    assert found.seeds == 3
    assert found.value == pytest.approx((-0.03 - 0.02 - 0.04) / 3)


def test_runs_that_are_not_there_and_runs_that_broke() -> None:
    record = evidence(question())
    record.runs.pop()
    (found,) = findings(record)
    assert (found.word, found.value) == ("pending", None)
    assert "7 of 8 runs" in found.reason
    (found,) = findings(evidence(question(), status={("arm", 1): "diverged"}))
    assert found.word == "inconclusive"
    assert found.value == pytest.approx((-0.03 - 0.04 - 0.02) / 3), "of the seeds where no arm broke"
    assert "arm: 1 run of 4 did not finish" in found.reason


def test_compute_is_read_off_the_ladder() -> None:
    losses = {"base": [2.00, 2.01, 1.99], "double": [1.90, 1.91, 1.89], "arm": [1.95, 1.96, 1.94]}
    asked = {"measure": "compute", "arm": "arm", "ladder": ["base", "double"], "rule": "above", "null": 1}
    record = evidence(question(**asked), losses=losses, arms={"double": {"training_flops": 2e9}})
    (found,) = findings(record)
    assert found.value == pytest.approx(math.sqrt(2)), "half way between the rungs in log compute"
    assert found.unit == "times"
    assert found.ci95 is not None
    assert found.ci95[0] < math.sqrt(2) < found.ci95[1]
    (result,) = results(ledger(), {"X1": record})
    (curve,) = claim_curves(result)
    assert curve.lines["dense ladder"].xs == (1e9, 2e9)
    assert curve.marks["arm"].levels[0].mean == pytest.approx(1.95)


FIT = {"a": 1.0, "b": 0.001, "b_ci95": [0.0005, 0.0015], "contexts": [0, 50, 100], "num_blocks": 30}
TIMED = {
    "dtype": "float32",
    "arms": [
        {"arm": "base", "peak_memory": {"total_bytes": 100}, "decode_fits": []},
        {
            "arm": "arm",
            "peak_memory": {"total_bytes": 110},
            "decode_fits": [
                [1, {"a": 1.0, "b": 0.001, "b_ci95": [0.0005, 0.0015], "contexts": [0, 50, 100], "num_blocks": 30}]
            ],
        },
    ],
    "rows": [
        {"arm": "base", "kind": "train", "batch_size": 4, "context": 8, "unavailable": "", "against_first": None},
        {
            "arm": "arm",
            "kind": "train",
            "batch_size": 4,
            "context": 8,
            "unavailable": "",
            "kernels": "eager",
            "seconds": None,
            "against_first": {"median": 0.05, "ci95": [0.04, 0.06], "ci90": [0.042, 0.058], "num_blocks": 30},
        },
        {"arm": "arm", "kind": "decode", "batch_size": 1, "context": 8, "unavailable": "it cannot", "seconds": None},
    ],
}


def timed(status: str = "finished") -> dict[str, Any]:
    return {"speed": {"status": status, "reason": "no compiler", "detail": TIMED}}


def test_measures_of_time() -> None:
    asked = [
        question("speed", measure="speed", timing="speed", arm="arm", case="train", rule="range", low=1, high=10),
        question("decode", measure="speed", timing="speed", arm="arm", case="decode", rule="equal", margin=3),
        question("latency", measure="latency", timing="speed", arm="arm", rule="at_most", value_claimed=5),
        question("memory", measure="memory", timing="speed", arm="arm", rule="equal", margin=3),
        question("total", measure="count", field="total", arm="arm", against="base", rule="above", null=1.5),
        question("check", measure="check", check="norm_costs", value="ratio", rule="exact", expected=0.5),
        question("kernel", measure="kernel", mode="fused", width=48, rule="at_most", value_claimed=0.5, null=1),
        question("never", measure="untested", rule="untested", reason="no device"),
    ]
    ratio = {"median": -0.2, "ci95": [-0.3, -0.1], "ci90": [-0.28, -0.12], "num_blocks": 30}
    kernels = {"fused 48": {"status": "finished", "reason": "", "detail": {"log_ratio": ratio}}}
    checks = {"norm_costs": {"values": {"ratio": 0.5}}}
    facts = {"arm": {"total": 200}}
    by_name = {
        f.question.name: f
        for f in findings(evidence(*asked, arms=facts, timings=timed(), kernels=kernels, checks=checks))
    }
    speed = by_name["speed"]
    assert (speed.word, speed.kernels) == ("supported", "eager")
    assert speed.value == pytest.approx(100 * math.expm1(0.05))
    assert speed.ci95 == pytest.approx((100 * math.expm1(0.04), 100 * math.expm1(0.06)))
    assert (by_name["decode"].word, by_name["decode"].reason) == ("inconclusive", "it cannot")
    assert by_name["latency"].value == pytest.approx(10.0)
    assert by_name["latency"].ci95 == pytest.approx((5.0, 15.0))
    assert by_name["latency"].word == "inconclusive", "the lower end is the bound itself"
    assert by_name["memory"].value == pytest.approx(10.0)
    assert by_name["memory"].word == "refuted"
    assert (by_name["total"].value, by_name["total"].word) == (2.0, "supported")
    assert by_name["check"].word == "supported"
    assert by_name["kernel"].value == pytest.approx(math.exp(-0.2))
    assert by_name["kernel"].word == "refuted"
    assert (by_name["never"].word, by_name["never"].reason) == ("not tested", "no device")

    without = {f.question.name: f.word for f in findings(evidence(*asked, arms=facts))}
    assert {without[name] for name in ("speed", "latency", "memory", "check", "kernel")} == {"pending"}
    (failed,) = findings(evidence(asked[0], timings=timed("failed")))
    assert (failed.word, failed.reason) == ("inconclusive", "timing failed: no compiler")


def test_the_family_is_judged_together_and_absent_members_count() -> None:
    """p of the difference is 0.011 here: enough for a family of four, not of five."""
    record = evidence(question(confirmatory=True))
    others = [[f"X{i}", "loss"] for i in range(2, 9)]
    (found,) = findings(record, ["X1", "loss"], *others[:3])
    assert found.word == "supported"
    assert found.p_adjusted == pytest.approx(4 * stats.ttest_rel(LOSSES["arm"], LOSSES["base"]).pvalue, rel=1e-6)
    (found,) = findings(record, ["X1", "loss"], *others[:4])
    assert found.word == "inconclusive"
    assert "one of 5 confirmatory questions" in found.reason
    (found,) = findings(evidence(question()), ["X1", "loss"], *others[:4])
    assert found.word == "supported", "an exploratory question stands alone"


def test_claims_in_the_order_of_their_numbers_and_in_words() -> None:
    found = results(ledger(), {id: evidence(question(), id=id) for id in ("C10", "C2")})
    assert [result.claim.id for result in found] == ["C2", "C10"]
    assert tally(found) == "2 claims: 2 supported"
    assert claim_line(found[0]) == "C2 SUPPORTED: a claim: -0.0275 [-0.0427, -0.0123] nats per byte"
    (panel,) = claim_panels(found)
    assert [row.label for row in panel.rows] == ["C2 loss", "C10 loss"]
    assert panel.limits[0] < -0.0427
    assert panel.limits[1] > 0
    assert panel.rows[0].claimed == (None, 0.0)


def test_learning_rates_are_one_line_and_capacities_another() -> None:
    arms = {name: {"lr": lr, "tokens": ""} for name, lr in (("base", 1.0), ("half", 0.5), ("twice", 2.0))}
    record = evidence(
        question(weights={"base": 1}), losses={"base": [1.0, 1.2], "half": [1.3], "twice": [1.4]}, arms=arms
    )
    for run in record.runs:
        run["values"] |= {"capacity_1_cost": 0.1, "capacity_2_cost": 0.0, "capacity_none_cost": 0.0}
    (result,) = results(ledger(), {"X1": record})
    rates, capacities = claim_curves(result)
    assert rates.lines["base"].xs == (0.5, 1.0, 2.0)
    assert [level.mean for level in rates.lines["base"].levels] == pytest.approx([1.3, 1.1, 1.4])
    assert capacities.lines["base"].xs == (1.0, 2.0, 8.0)
    assert capacities.ticks == {8.0: "no limit"}
