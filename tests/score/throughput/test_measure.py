"""A small measurement end to end: rows, N/A past a limit, utilisation, and models left as they came."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.analyse.latency import latencies
from harness.analyse.throughput import timings
from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.records.example_measurements import example_throughput
from harness.score.throughput import measure as room
from harness.score.throughput import workloads
from harness.score.throughput.arm import Arm, Settings
from harness.score.throughput.ceilings import Ceilings
from harness.score.throughput.machine import MachineState
from harness.score.throughput.measure import Candidate, measure
from harness.score.throughput.results import Throughput, Work, row, share
from harness.score.throughput.workloads import Case, contexts_of, refusal, rows, weight_bytes
from harness.spec.spec import Choice, Spec, choose
from harness.train.checkpoint import weights_of

CPU = torch.device("cpu")
LIMITS = Ceilings("made up", "float32", 1, 1e9, 1e8)
SMALL = Spec(n_layers=1, d_model=16, n_heads=2, seq_len=8, d_ff=32)
QUICK = Settings(
    tokens_per_step=16,
    batch_sizes=(1, 3),
    decode_contexts=(4, 8, 16, 32),
    num_blocks=2,
    warm_up=1,
    block_seconds=1e-4,
)
ONE = dataclasses.replace(QUICK, batch_sizes=(1,), decode_contexts=(4,))


def made(model: Transformer, settings: Settings = QUICK) -> Arm:
    return Arm("arm", count(model.spec), model, settings, CPU, torch.arange(100))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ceilings", lambda *_: LIMITS)


def test_a_small_measurement(quick: None, tmp_path: Path) -> None:
    arms = [Candidate("gpt2", count(SMALL)), Candidate("rope", count(SMALL.replace(position=Choice("rope"))))]
    result = measure(arms, QUICK, CPU, tmp_path)
    assert len(result.rows) == 2 * (1 + 2 + 2 * 4)
    check_rows(result)
    for arm, fitted in zip(result.arms, (False, True), strict=True):
        assert [(size, fit is not None) for size, fit in arm.decode_fits] == [(1, fitted), (3, fitted)]
        assert arm.kv_bytes_per_token == 2 * 16 * 4  # k and v of d_model elements of 4 bytes, in 1 layer
        assert arm.routing == "none"
        assert arm.compile_seconds is None
        assert arm.peak_memory.total_bytes is not None
    document = json.loads(json.dumps(result.to_json()))
    assert document["schema_version"] == 2
    assert [set(state) for state in document["machine"]] == [{f.name for f in dataclasses.fields(MachineState)}] * 2
    assert document["machine"][0]["gpu_mhz"] is None, "no GPU was measured"
    assert document["arms"][0]["kernels"]["norm"] == "fused (native_layer_norm)"
    check_example(document)


def check_example(document: dict[str, Any]) -> None:
    """The made-up measurement has the shape of a real one, and the report reads a real one."""
    example = example_throughput({"gpt2": 1.0, "rope": 0.9}, limits={"gpt2": 128}).detail
    assert shape(example) == shape(document)
    assert shape(example["rows"][1]) == shape(document["rows"][1])
    assert shape(example["arms"][1]["decode_fits"]) == shape(document["arms"][1]["decode_fits"])
    data = timings(document)
    assert [row.against is not None for row in data.of("train")] == [False, True]
    assert len(latencies(document, ["gpt2", "rope"])) == 2 * 2


def shape(value: Any) -> Any:
    """Keys all the way down; of a list its last element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shape(value[-1])] if value else []
    return None


def check_rows(result: Throughput) -> None:
    for r in result.rows:
        absent = r.arm == "gpt2" and r.context > 8
        assert (r.unavailable == "position=learned is defined for 8 positions") == absent
        assert (r.tokens_per_s is None) == absent
        assert (r.against_first is not None) == (r.arm == "rope" and r.context <= 8)
        assert (r.mfu is None) == absent
        assert (r.bandwidth is not None) == (r.kind == "decode" and not absent)
    assert result.find("rope", "decode", 3, 32) is not None
    assert result.find("rope", "decode", 3, 33) is None


def test_weights_and_buffers_are_left_as_they_came(quick: None, tmp_path: Path) -> None:
    spec = SMALL.replace(ffn=choose("deepseek_v3", num_experts=4, top_k=2), position=Choice("rope"))
    model = Transformer(spec, seed=0)
    before = {name: tensor.clone() for name, tensor in weights_of(model).items()}
    result = measure([Candidate("moe", count(spec), model)], ONE, CPU, tmp_path)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(model).items())
    assert result.arms[0].routing == "trained"
    assert not model.training


def test_what_cannot_decode_has_training_alone(quick: None, tmp_path: Path) -> None:
    spec = SMALL.replace(ffn=choose("expert_choice", num_experts=4, leaks=True))
    result = measure([Candidate("leaks", count(spec))], ONE, CPU, tmp_path)
    assert [(r.kind, "cannot decode" in r.unavailable) for r in result.rows] == [
        ("train", False),
        ("prefill", True),
        ("decode", True),
    ]
    assert result.arms[0].kernels.attention_decoding == "none"


def test_compiled_is_training_and_prefill_and_is_undone(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_lengths: list[int] = []

    def fake(model: Transformer, **_: object) -> None:
        def call(tokens: torch.Tensor, *rest: object) -> Any:
            compiled_lengths.append(tokens.shape[1])
            return model._call_impl(tokens, *rest)

        model._compiled_call_impl = call

    monkeypatch.setattr(Transformer, "compile", fake)
    model = Transformer(SMALL.replace(position=Choice("rope")), seed=0)
    settings = dataclasses.replace(ONE, compiled=True)
    result = measure([Candidate("rope", count(model.spec), model)], settings, CPU, tmp_path)
    assert set(compiled_lengths) == {8}, "a decoded token went through the compiler"
    assert model._compiled_call_impl is None
    assert result.arms[0].compile_seconds is not None
    assert result.rows[0].kernels.startswith("compiled (decoding eager)")


def test_a_row_from_made_up_seconds() -> None:
    case = Case("decode", 4, 100)
    made_row = row(
        "b",
        case,
        [0.02, 0.02],
        first=[0.01, 0.01],
        work=Work(flops=1e6, num_bytes=5e5),
        ceilings=LIMITS,
        kernels="eager",
    )
    assert made_row.tokens_per_s is not None
    assert made_row.tokens_per_s.median == pytest.approx(200.0)  # one token of each of 4 texts in 20 ms
    assert made_row.against_first is not None
    assert made_row.against_first.percent[0] == pytest.approx(-50.0)
    assert made_row.mfu == pytest.approx(1e6 / 0.02 / 1e9)
    assert made_row.bandwidth == pytest.approx(5e5 / 0.02 / 1e8)
    assert share(1.0, 1.0, None) is None
    assert share(None, 1.0, 1.0) is None


def test_decoding_is_timed_at_the_context_asked_for() -> None:
    model = Transformer(SMALL.replace(position=Choice("rope")), seed=0).eval()
    text = torch.arange(100)
    state = workloads.filled_state(model, text, 2, 16)
    assert state.length == 15
    load = workloads.decoding(model, state, text, Case("decode", 2, 10))
    load.call()
    load.call()
    assert state.length == 10
    with torch.no_grad():
        expected = model(torch.cat((rows(text, 2, 16)[:, :9], rows(text, 2, 1)), dim=1))[:, -1]
        state.length = 9
        torch.testing.assert_close(model(rows(text, 2, 1), state)[:, -1], expected, rtol=0, atol=1e-5)


def test_work_of_a_decoded_token() -> None:
    """Dense, tied head: the weights without the position table, and keys and values of every text."""
    model = Transformer(SMALL, seed=0)
    arm = made(model)
    work = arm.work(Case("decode", 3, 8))
    num_params = sum(p.numel() for p in model.parameters()) - 8 * 16
    assert work.num_bytes == 4 * (num_params + 3 * 8 * 2 * 16)
    d, d_ff, vocab = 16, 32, 257
    assert work.flops == 3 * (8 * d * d + 4 * d * d_ff + 2 * d * vocab + 4 * d * 8)  # attends to 8 keys
    train = arm.work(Case("train", 2, 8))
    assert (train.flops, train.num_bytes) == (16 * count(SMALL).training_flops_per_token, None)


def test_experts_are_read_when_visited() -> None:
    spec = SMALL.replace(ffn=choose("moe", num_experts=8, top_k=2), tied_head=False)
    model = Transformer(spec, seed=0)
    expert = 2 * 16 * 32 + 32 + 16
    base = sum(p.numel() for p in model.parameters()) - 8 * expert - (8 + 257) * 16
    read = [weight_bytes(model, batch_size) / 4 - base for batch_size in (1, 3, 4, 100)]
    assert read == [2 * expert, 6 * expert, 8 * expert, 8 * expert]


def test_contexts_double_to_eight_training_lengths() -> None:
    assert contexts_of(128) == [64, 128, 256, 512, 1024]
    assert contexts_of(16) == [16, 32, 64, 128]
    assert contexts_of(128, 200) == [64, 128]
    assert contexts_of(128, 32) == [32]


def test_the_limit_counts_the_token_that_is_timed() -> None:
    model = Transformer(SMALL, seed=None)
    assert refusal(model, Case("decode", 1, 8)) == ""
    assert "defined for 8 positions" in refusal(model, Case("decode", 1, 9))


def test_a_short_text_is_repeated() -> None:
    assert rows(torch.arange(3), 2, 4).tolist() == [[0, 1, 2, 0], [1, 2, 0, 1]]
    assert np.prod(rows(torch.arange(3), 1, 1).shape) == 1
