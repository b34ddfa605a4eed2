"""python -m harness.export: a run becomes a folder that transformers loads and lm-eval scores alike."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import evaluate, export
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.dataset import prepare
from harness.data.documents import Document, make_corpus
from harness.data.tokenizer import make_tokenizer
from harness.engine.job import Job, data_folder
from harness.engine.job import execute as execute_job
from harness.model.huggingface.checkpoint import load_huggingface
from harness.records.store import RunStore
from harness.score.load import load_run
from harness.spec.presets import preset
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec

SMALL: dict[str, Any] = {"n_layers": 1, "d_model": 16, "n_heads": 2, "seq_len": 160}
FORMS = {"gpt2": Spec(**SMALL), "llama": preset("llama").replace(**SMALL)}

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """spec, tokenizer -> the folder of a run of one step."""
    store = tmp_path_factory.mktemp("store")
    text = "\n".join(f"Line {i} of a text that goes on and on about the number {i * i}." for i in range(200))
    corpus = make_corpus("made", [Document(text, "0")], [Document(text, "0")])

    def make(spec: Spec, tokenizer: str = "bytes") -> Path:
        data = prepare(corpus, make_tokenizer(tokenizer, corpus, data_folder(store)), data_folder(store))
        job = Job(spec.replace(vocab_size=data.vocab_size), Recipe(tokens_per_step=160), 1, 1.0, 0, data.sha256,
                  str(store), "cpu")  # fmt: skip
        record = execute_job(job)
        assert record is not None
        return Path(RunStore(store).folder(record.key))

    return make


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    return make_run(FORMS["gpt2"])


def exported(run: Path, folder: Path) -> Path:
    assert export.main([str(run), "--out", str(folder)]) == 0
    return folder


def test_a_run_is_written_and_read_back(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(run), "--format", "hf", "--out", str(tmp_path / "out")]) == 0
    assert "GPT2LMHeadModel" in capsys.readouterr().out
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        expected = load_run(run).model(tokens)
        again = load_huggingface(tmp_path / "out").eval()(tokens)
    assert torch.equal(expected, again)


def test_transformers_gives_the_same_logits_and_text(run: Path, tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    folder = exported(run, tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ours = load_run(run).model
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        assert torch.allclose(model(tokens).logits, ours(tokens), atol=1e-5)
    assert model.config.eos_token_id == model.generation_config.eos_token_id == 256
    coder = transformers.AutoTokenizer.from_pretrained(folder)
    prompt = coder("Line 3", return_tensors="pt")
    written = model.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1] :].tolist()
    from harness.model.decode import generate

    assert generate(ours, prompt["input_ids"].tolist(), 8, stop_id=256)[0] == [i for i in written if i != 256]


def items(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, np.ndarray]:
    """Every task's log-likelihoods."""
    assert evaluate.main([*arguments, "--limit", "3", "--json", "--device", "cpu"]) == 0
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    return {name: np.array(task["items"]["loglikelihoods"], dtype=float) for name, task in tasks.items()}


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe:300"])
@pytest.mark.parametrize("form", FORMS)
def test_a_run_its_folder_and_lm_evals_own_model_agree_per_item(
    form: str, tokenizer: str, make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run, its exported folder through our adapter, and that folder and its tokenizer through lm-eval's `hf`."""
    transformers: Any = pytest.importorskip("transformers")
    pytest.importorskip("accelerate", reason="lm-eval's hf model needs accelerate")
    if not os.environ.get("HARNESS_DATA"):
        pytest.skip("HARNESS_DATA is not set, so the public evaluation sets cannot be found")
    from lm_eval.evaluator import evaluate as lm_evaluate
    from lm_eval.models import huggingface

    from harness.score.lmeval.tasks import load_tasks

    run = make_run(FORMS[form], tokenizer)
    folder = exported(run, tmp_path / "out")
    capsys.readouterr()
    names = ["blimp_wh_island", "blimp_principle_A_case_1", "arc_easy"]
    of_run, of_folder = (items([str(path), "--tasks", ",".join(names)], capsys) for path in (run, folder))
    assert set(of_run) == set(of_folder) == set(names)
    for name in names:
        np.testing.assert_allclose(of_run[name], of_folder[name], atol=1e-4, rtol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.logging.set_verbosity_error()
        make: Any = huggingface.HFLM
        hf = make(pretrained=str(folder), batch_size=2, device="cpu", max_length=160, dtype="float32")
        loaded: Any = load_tasks(names, None, ByteTokenizer())
        results: Any = lm_evaluate(hf, loaded, limit=3, bootstrap_iters=0, log_samples=True)
    capsys.readouterr()
    for name in names:
        samples = sorted(results["samples"][name], key=lambda sample: sample["doc_id"])
        theirs = [[float(answer[0]) for answer in sample["filtered_resps"]] for sample in samples]
        assert len(theirs) == 3
        np.testing.assert_allclose(of_folder[name], np.array(theirs), atol=1e-4, rtol=0)


def test_a_mix_without_a_class_is_refused_by_name(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(Spec(norm=Choice("dyt"), ffn=Choice("mixffn"), **SMALL))
    assert export.main([str(run), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "norm=dyt" in error
    assert "ffn=mixffn" in error
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "has no record.json" in capsys.readouterr().err
    damaged = run.parent / "damaged"
    shutil.copytree(run, damaged)
    (damaged / "weights.safetensors").write_bytes(b"short")
    assert export.main([str(damaged), "--out", str(tmp_path / "out")]) == 2
    assert "weights.safetensors" in capsys.readouterr().err
    assert export.main([str(run), "--format", "onnx", "--out", str(tmp_path / "out")]) == 2
