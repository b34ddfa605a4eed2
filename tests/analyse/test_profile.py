"""Shares and sentences of a made-up profile."""

from __future__ import annotations

import copy

import pytest

from harness.analyse.profile import arms_note, kinds_in, outside, sentence, table, work_times
from harness.records.example_measurements import example_profile

ARMS = ["gpt2", "norm=rms"]


def test_shares_stand_beside_each_other() -> None:
    base, arm = work_times(example_profile(ARMS, norm={"norm=rms": 0.17}).detail, "train")
    norm, more = base.of("norm"), arm.of("norm")
    assert norm is not None
    assert more is not None
    assert (norm.share, norm.flops_share, more.share) == (0.09, 0.002, 0.17)
    assert norm.milliseconds == pytest.approx(0.09 * 5)
    assert base.operators == pytest.approx(sum(kind.milliseconds for kind in base.kinds))
    assert base.wall == pytest.approx(5 / 0.8)
    assert base.of("conv") is None
    assert kinds_in([base, arm]) == ["matmul", "attention", "norm", "activation", "optimizer", "other"]


def test_the_sentence_leads_with_the_kind_that_costs_most_for_its_flops() -> None:
    (base,) = work_times(example_profile(["gpt2"]).detail, "train")
    assert sentence(base) == (
        "gpt2, a training step: normalisation is 0.2 % of the FLOPs and 9.0 % of the time; "
        "activations are 0.8 % of the FLOPs and 6.0 % of the time; "
        "matrix products are 70.0 % of the FLOPs and 40.0 % of the time; "
        "the optimizer and everything else, which count no FLOPs, take 25.0 % of the time."
    )


def test_decoding_has_no_flops_and_may_be_absent() -> None:
    (base,) = work_times(example_profile(["gpt2"]).detail, "decode")
    assert sentence(base) == (
        "gpt2, a decoded token: matrix products 40.0 %, attention 20.0 %, normalisation 9.0 % of the time of 0.4 ms."
    )
    assert work_times(example_profile(["gpt2"], decodes=False).detail, "decode") == []
    assert table(example_profile(["gpt2"], decodes=False).detail, "decode", "operators", 3) == []


def test_no_time_at_all_divides_by_nothing() -> None:
    (base,) = work_times(example_profile(["gpt2"], time=False).detail, "train")
    assert "nothing that was counted of the time of 0 ms" in sentence(base)
    assert outside([base]) == outside([]) == ""


def test_what_no_operator_accounts_for() -> None:
    times = work_times(example_profile(ARMS).detail, "train")
    assert outside(times).startswith("Python and waiting take 20 % of the clock of a training step")


def test_rows_of_the_traces() -> None:
    detail = copy.deepcopy(example_profile([*ARMS, "third"]).detail)
    operators = table(detail, "train", "operators", 2)
    assert [(row.arm, row.name, row.calls) for row in operators] == [(arm, "aten::mm", 54) for arm in ARMS]
    assert operators[1].own == pytest.approx(0.901)
    assert [(row.depth, row.total) for row in table(detail, "train", "modules", 1)] == [(0, 5.0), (1, 5.0)]
    assert [(row.own, row.total) for row in table(detail, "train", "memory", 1)] == [(48.0, 96.0)]
    for row in detail["arms"][0]["tables"]["train"]["operators"]:
        row.update(device_self_duration=70, device_total_duration=80)
    assert table(detail, "train", "operators", 1)[0].own == pytest.approx(0.07), "a device's time is what counts"
    detail["arms"][0]["tables"]["train"]["operators"] *= 99
    assert len(table(detail, "train", "operators", 1)) == 10


def test_a_table_that_leaves_arms_out_says_so() -> None:
    assert arms_note(3, 40) == "The first 3 of 40 arms; measurements/profile.json has all. "
    assert arms_note(3, 3) == ""
