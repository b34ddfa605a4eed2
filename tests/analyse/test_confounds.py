"""The audit as rows: every recorded difference is shown once, in words."""

from __future__ import annotations

import dataclasses

from harness.analyse.confounds import confound_rows
from harness.records.example import example_study

AUDIT = {
    "choices": {"norm": ["layer", "rms"]},
    "params_by_role": {"vector": [480, 240]},
    "start_by_role": {"matrix": [{"N(0, 0.1^2)": 4}, {"N(0, 0.2^2)": 4}]},
    "decayed_params": [100, 100],
    "biases": [5, 0],
    "shared": 12345,
    "flops_by_kind": {"norm": [336.0, 192.0]},
    "operators": {"native_layer_norm": [5, None], "mul": [2, 12]},
}


def test_every_difference_is_a_row() -> None:
    study = example_study()
    base, arm = study.arms
    arm = dataclasses.replace(arm, audit=AUDIT, recipe={"lr": 0.003}, num_tokens=base.num_tokens + 1)
    rows = [(r.what, r.baseline, r.value) for r in confound_rows(dataclasses.replace(study, arms=[base, arm]))]
    assert rows == [
        ("recipe: lr", "0.006", "0.003"),
        ("training tokens", "1,590,000", "1,590,001"),
        ("norm", "layer", "rms"),
        ("parameters, vector", "480", "240"),
        ("initial values, matrix", "4 of N(0, 0.1^2)", "4 of N(0, 0.2^2)"),
        ("forward FLOPs per token, norm", "336", "192"),
        ("vectors named bias", "5", "0"),
        ("parameters that start with the same bits", "123,456", "12,345"),
        ("calls of mul", "2", "12"),
        ("calls of native_layer_norm", "5", "0"),
    ]


def test_a_study_of_before_has_none() -> None:
    assert confound_rows(example_study()) == []
