"""Modules that arms share stand in one row."""

from __future__ import annotations

import copy

from harness.analyse.roofline import arms_text, roof, sentence
from harness.records.example_measurements import example_profile

ARMS = ["gpt2", "norm=rms", "third"]


def test_equal_modules_are_one_row() -> None:
    data = roof(example_profile(ARMS[::2]).detail, ARMS)
    assert [(m.name, m.arms, m.place) for m in data.modules] == [
        ("layers.*.attention.q", ("gpt2", "third"), 0),
        ("final_norm", ("gpt2",), 0),
        ("final_norm", ("third",), 2),
    ]
    assert [arms_text(module, data) for module in data.modules] == ["all arms", "gpt2", "third"]
    assert data.names == ["layers.*.attention.q", "final_norm"]
    assert [module.bound for module in data.modules] == ["compute", "memory", "memory"]
    alone = roof(example_profile(["gpt2"]).detail, ARMS)
    assert arms_text(alone.modules[0], alone) == "gpt2"


def test_the_sentence_says_the_ridge_or_what_is_unknown() -> None:
    detail = example_profile(ARMS).detail
    assert sentence(roof(detail, ARMS)) == (
        "Below 20.0 FLOPs a byte a module is bound by memory (10.0 GB/s copied), "
        "above it by arithmetic (200 GFLOP/s, float32)."
    )
    half = copy.deepcopy(detail)
    half["arms"][0]["roofline"]["ceilings"]["bytes_per_s"] = None
    assert "ceiling of bytes/s could not be measured in float32" in sentence(roof(half, ARMS))
    unknown = roof(example_profile(ARMS, known=False).detail, ARMS)
    assert "ceiling of FLOP/s and bytes/s" in sentence(unknown)
    assert {module.bound for module in unknown.modules} == {None}
