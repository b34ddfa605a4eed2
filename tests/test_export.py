"""python -m harness.export: a run in a store becomes a folder that transformers loads with the same logits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness import export
from harness.model.huggingface.checkpoint import load_huggingface
from harness.model.transformer import Transformer
from harness.records.seal import seal
from harness.spec.spec import Choice, Spec
from harness.train.checkpoint import weights_of


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", Spec(seq_len=16))


def write_run(folder: Path, spec: Spec) -> Path:
    """A run as the engine leaves it, as far as export reads it."""
    folder.mkdir()
    save_file(weights_of(Transformer(spec, seed=5)), folder / "weights.safetensors")
    (folder / "record.json").write_text(json.dumps(seal({"identity": {"spec": spec.to_json()}})))
    return folder


def test_a_run_is_written_and_read_back(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(run), "--format", "hf", "--out", str(tmp_path / "out")]) == 0
    assert "GPT2LMHeadModel" in capsys.readouterr().out
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        expected = export.load_run(run)(tokens)
        again = load_huggingface(tmp_path / "out").eval()(tokens)
    assert torch.equal(expected, again)


def test_transformers_gives_the_same_logits(run: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    assert export.main([str(run), "--out", str(tmp_path / "out")]) == 0
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        assert torch.allclose(model(tokens).logits, export.load_run(run)(tokens), atol=1e-5)


def test_a_mix_without_a_class_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", Spec(seq_len=16, norm=Choice("dyt"), ffn=Choice("mixffn")))
    assert export.main([str(run), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "norm=dyt" in error
    assert "ffn=mixffn" in error
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "record.json is not there" in capsys.readouterr().err
    (run / "weights.safetensors").write_bytes(b"short")
    assert export.main([str(run), "--out", str(tmp_path / "out")]) == 2
    assert "weights.safetensors" in capsys.readouterr().err
    assert export.main([str(run), "--format", "onnx", "--out", str(tmp_path / "out")]) == 2
