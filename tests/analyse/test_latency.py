"""Lines and sentences of latencies that were made from known a and b."""

from __future__ import annotations

import copy

import pytest

from harness.analyse.latency import latencies, sentences
from harness.records.example_measurements import CONTEXT_SECONDS, TOKEN_SECONDS, example_throughput

SPEEDS = {"gpt2": 1.0, "norm=rms": 0.5}


def test_points_lie_on_their_line() -> None:
    data = latencies(example_throughput(SPEEDS).detail, ["gpt2", "dropped", "norm=rms"])
    assert [(one.arm, one.batch_size) for one in data] == [(arm, size) for size in (1, 32) for arm in SPEEDS]
    assert [(one.place, one.is_baseline) for one in data[:2]] == [(0, True), (2, False)], "a colour is a study's"
    slow = data[3]
    assert slow.line is not None
    assert slow.line.a == pytest.approx(1e3 * TOKEN_SECONDS / 0.5)
    assert slow.line.b == pytest.approx(1e3 * 32 * CONTEXT_SECONDS / 0.5)
    assert slow.line.equal_at == pytest.approx(TOKEN_SECONDS / (32 * CONTEXT_SECONDS))
    assert [context for context, _ in slow.points] == [64, 128, 256, 512, 1024]
    for context, taken in slow.points:
        assert taken.median == pytest.approx(slow.line.a + slow.line.b * context)
        assert taken.ci95 == pytest.approx((0.99 * taken.median, 1.01 * taken.median))


def test_a_sentence_says_where_the_context_costs_as_much_as_the_weights() -> None:
    far, near = sentences(latencies(example_throughput({"gpt2": 1.0}).detail, ["gpt2"]))
    assert far == (
        "gpt2, batch 1: a token takes 0.4 ms and 1.00 ms more for every 1,000 tokens of context [0.99, 1.01]; "
        "the context costs as much as the weights at 400 tokens."
    )
    assert "at 12.5 tokens." in near
    short = example_throughput({"gpt2": 1.0}, contexts=(64, 128, 256), batch_sizes=(1,))
    assert "at 400 tokens, beyond the longest measured" in sentences(latencies(short.detail, ["gpt2"]))[0]


def test_a_slope_not_told_from_zero_has_no_such_context() -> None:
    (said, _) = sentences(latencies(example_throughput({"gpt2": 1.0}, error=1.5).detail, ["gpt2"]))
    assert "whose interval reaches zero: no context is known" in said


def test_a_line_that_does_not_fit_is_called_that() -> None:
    detail = copy.deepcopy(example_throughput(SPEEDS).detail)
    detail["arms"][1]["decode_fits"][0][1]["residual"] = 0.4
    said = sentences(latencies(detail, list(SPEEDS)))
    assert said[-1].startswith("A straight line misses a median by more than 10% for norm=rms at batch 1")


def test_too_few_contexts_and_none_at_all() -> None:
    detail = example_throughput(SPEEDS, limits={"gpt2": 128}).detail
    data = latencies(detail, list(SPEEDS))
    assert [(one.line is None, len(one.points)) for one in data if one.arm == "gpt2"] == [(True, 2)] * 2
    assert sentences(data)[-1] == "Too few contexts for a line: gpt2."
    assert latencies(example_throughput(SPEEDS, batch_sizes=()).detail, list(SPEEDS)) == []
    gone = example_throughput(SPEEDS, limits={"gpt2": 0}).detail  # cannot decode at all
    assert {one.arm for one in latencies(gone, list(SPEEDS))} == {"norm=rms"}
