"""The throughput command: text, JSON and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.score.throughput import measure as room
from harness.score.throughput.ceilings import Ceilings
from harness.throughput import main

FLAGS = "--size 1x16 --heads 2 --seq-len 8 --tokens-per-step 16 --max-context 16 --blocks 2 --batch-sizes 1"
QUICK = [*FLAGS.split(), "--device", "cpu"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(room, "ceilings", lambda *_: Ceilings("made up", "float32", 1, None, 1e10))
    return ["--store", str(tmp_path / "store")]


def test_json(store: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["norm=rms", "position=rope", *QUICK, *store, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [arm["arm"] for arm in document["arms"]] == ["gpt2", "norm=rms position=rope"]
    assert {row["mfu"] for row in document["rows"]} == {None}, "an unknown ceiling gives no share"
    past = [row for row in document["rows"] if row["arm"] == "gpt2" and row["context"] == 16]
    assert [row["unavailable"] for row in past] == ["position=learned is defined for 8 positions"]
    assert document["num_blocks"] == 2


def test_text(store: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ffn=moe", "ffn.num_experts=4", *QUICK, *store]) == 0
    text = capsys.readouterr().out
    assert "GB/s" in text
    assert "FLOP/s unknown" in text
    assert "N/A  position=learned is defined for 8 positions" in text
    assert "untrained router" in text
    assert "eager; SDPA" in text


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["norm=rmss"], "did you mean 'rms'"),
        (["--blocks", "1"], "at least 2"),
        (["--tokens-per-step", "4"], "at least --seq-len 8"),
        (["--dtype", "float8"], "invalid choice"),
        (["--device", "cuda:99"], "not available"),
    ],
)
def test_bad_input_is_one_sentence(
    argv: list[str], match: str, store: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUICK, *store, *argv]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert match in error
