"""Rows and sentences of a made-up measurement, whose ratios are known."""

from __future__ import annotations

import dataclasses
import math

import pytest

from harness.analyse.throughput import machine_text, refusals, sentences, shown, timings, word_of
from harness.records.example_measurements import STEP_SECONDS, example_throughput

SPEEDS = {"gpt2": 1.0, "norm=rms": 0.9}
MANY = {f"arm {i}": 1 + 0.1 * i for i in range(40)}


def test_rows_have_the_rates_and_ratios_they_were_made_with() -> None:
    data = timings(example_throughput(SPEEDS).detail)
    base, arm = data.of("train")
    assert base.tokens_per_s is not None
    assert arm.milliseconds is not None
    assert arm.against is not None
    assert base.tokens_per_s.median == pytest.approx(4 * 128 / STEP_SECONDS)
    assert base.against is None
    assert arm.milliseconds.median == pytest.approx(1e3 * STEP_SECONDS / 0.9)
    median, low, high = arm.against.percents
    assert median == pytest.approx(-10.0)
    assert (low, high) == pytest.approx((90 * math.exp(-0.01) - 100, 90 * math.exp(0.01) - 100))
    assert arm.against.word == "slower"
    assert (data.baseline, data.seq_len, data.num_blocks) == ("gpt2", 128, 30)
    hold = data.holds[1]
    assert (hold.peak_bytes, hold.step_bytes, hold.kv_bytes_per_token) == (6 * 2**20, 3 * 2**20, 768.0)
    assert hold.routing == "no experts"
    assert hold.kernels.startswith("eager; SDPA flash")


@pytest.mark.parametrize(
    ("ci95", "ci90", "word"),
    [
        ((0.01, 0.02), (0.011, 0.019), "within 3 %"),  # told from nothing, and too small to matter
        ((-0.03, 0.029), (-0.029, 0.028), "within 3 %"),
        ((-0.04, 0.029), (-0.031, 0.028), "inconclusive"),
        ((-0.03, 0.031), (-0.02, 0.0298), "inconclusive"),  # 3 % is 0.0296 of a logarithm
        ((0.01, 0.09), (0.02, 0.08), "faster"),
        ((-0.09, -0.01), (-0.08, -0.02), "slower"),
        ((0.0, 0.09), (0.01, 0.08), "inconclusive"),
    ],
)
def test_the_word_follows_the_interval(ci95: tuple[float, float], ci90: tuple[float, float], word: str) -> None:
    assert word_of(ci95, ci90) == word


def test_a_few_arms_are_named_and_many_are_counted() -> None:
    few = sentences(timings(example_throughput(SPEEDS).detail))
    assert few[0] == "Training, tokens a second against gpt2 over 30 blocks: norm=rms -10.0 % [-10.9, -9.1], slower."
    assert [said.split(",")[0] for said in few[1:]] == [f"Decoding at batch {size} and context 128" for size in (1, 32)]
    many = sentences(timings(example_throughput(MANY).detail))
    assert "of 39 arms, 39 faster" in many[0]


def test_the_table_has_the_training_length_and_the_longest_context() -> None:
    data = timings(example_throughput(SPEEDS).detail)
    assert {row.context for row in shown(data, "decode")} == {128, 1024}
    assert len(shown(data, "prefill")) == len(data.of("prefill")) == 4
    late = timings(example_throughput(SPEEDS, contexts=(256, 512)).detail)
    assert {row.context for row in shown(late, "decode")} == {256, 512}


def test_the_short_form_is_training_alone() -> None:
    data = timings(example_throughput(SPEEDS, batch_sizes=()).detail)
    assert [row.kind for row in data.rows] == ["train"] * 2
    assert shown(data, "decode") == data.of("prefill") == []
    assert len(sentences(data)) == 1


def test_what_has_no_numbers_says_why_once() -> None:
    data = timings(example_throughput(SPEEDS, limits={"gpt2": 128}).detail)
    rows = shown(data, "decode")
    absent = [row for row in rows if row.tokens_per_s is None]
    assert {(row.arm, row.context) for row in absent} == {("gpt2", 1024)}
    assert all(row.against is None for row in rows if row.context == 1024)
    assert refusals(rows) == ["gpt2: position=learned is defined for 128 positions"]
    crowd = timings(example_throughput(MANY, limits=dict.fromkeys(MANY, 128)).detail)
    assert refusals(shown(crowd, "decode"))[0].startswith("40 arms: ")


def test_alone_there_is_nothing_to_be_against() -> None:
    assert sentences(timings(example_throughput({"gpt2": 1.0}).detail)) == []


def test_the_conditions_say_what_is_unknown_and_that_a_cpu_is_one() -> None:
    known = " ".join(timings(example_throughput(SPEEDS).detail).conditions)
    assert "200 GFLOP/s" in known
    assert "load average 0.50 and 0.50, CPU clock 2,600 and 2,600 MHz" in known
    assert "°C" not in known
    assert "Timings on a CPU say nothing of a GPU" in known
    unknown = example_throughput(SPEEDS, known=False)
    assert "over unknown" in " ".join(timings(unknown.detail).conditions)
    silent: dict[str, float | None] = dict.fromkeys(("load_average", "cpu_mhz"))
    assert machine_text([silent, silent]) == "neither load nor clocks are known"
    gpu = dataclasses.replace(unknown, detail={**unknown.detail, "device": "cuda NVIDIA H100"})
    assert "GPU" not in " ".join(timings(gpu.detail).conditions)
    assert machine_text([{"gpu_mhz": 1980.0, "gpu_celsius": 40.0}, {"gpu_mhz": None, "gpu_celsius": 61.0}]) == (
        "GPU clock 1,980 and n/a MHz, GPU 40.0 and 61.0 °C"
    )
