"""Speed and memory as scores of a row, from a made-up measurement."""

from __future__ import annotations

import pytest

from harness.analyse.measured import quantities
from harness.analyse.throughput import timings
from harness.records.example_measurements import example_throughput

TWO = {"gpt2": 1.0, "norm=rms": 0.9}


def test_every_case_at_the_training_length_and_what_is_held() -> None:
    found = {q.title: q for q in quantities(timings(example_throughput(TWO).detail))}
    assert list(found) == [
        "training",
        "MFU, training",
        "prefill at batch 1",
        "prefill at batch 32",
        "decoding at batch 1",
        "latency of a token, decoding at batch 1",
        "decoding at batch 32",
        "latency of a token, decoding at batch 32",
        "peak memory of a training step",
        "KV cache a token",
    ]
    rate, utilisation = found["training"].readings["norm=rms"], found["MFU, training"].readings["norm=rms"]
    assert rate.value == pytest.approx(0.9 * 4 * 128 / 5e-3)
    assert rate.percents == pytest.approx((-10.0, -10.9, -9.1), abs=0.05)
    assert found["training"].readings["gpt2"].percents is None
    assert utilisation.value == 0.25
    assert utilisation.ci95 == pytest.approx((0.2475, 0.2525))
    token = found["latency of a token, decoding at batch 32"].readings["gpt2"]
    assert token.value == pytest.approx(1e3 * (4e-4 + 32 * 128 * 1e-6)), "at the training length of 128"
    assert [q.direction for q in found.values()].count("lower") == 4


def test_what_is_unknown_has_no_reading() -> None:
    gone = example_throughput(TWO, known=False, limits={"gpt2": 128, "norm=rms": 0})
    found = {q.title: q for q in quantities(timings(gone.detail))}
    assert "MFU, training" not in found, "no ceiling"
    assert "peak memory of a training step" not in found
    assert list(found["training"].readings) == ["gpt2"]


def test_the_short_form_is_training_alone() -> None:
    short = timings(example_throughput(TWO, batch_sizes=()).detail)
    assert [q.unit for q in quantities(short)] == ["tokens/s", "share", "B", "B"]
