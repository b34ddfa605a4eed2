"""python -m harness.evaluate: a run, a transformers folder, and what is neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from harness.data.bpe_tokenizer import train_bpe
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.dataset import prepare
from harness.data.documents import Document, make_corpus
from harness.engine.job import Job, data_folder, execute
from harness.evaluate import main
from harness.model.huggingface.checkpoint import save_huggingface
from harness.model.transformer import Transformer
from harness.records.store import RunStore
from harness.score.lmeval import stock
from harness.spec.presets import preset
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec

TASK = """
task: mine
dataset_path: json
dataset_kwargs:
  data_files: {{test: {file}}}
  cache_dir: {cache}
output_type: multiple_choice
test_split: test
doc_to_text: "{text}"
doc_to_target: 0
doc_to_choice: ["yes", "no"]
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a run of one step."""
    store = tmp_path_factory.mktemp("store")
    text = "\n".join(f"Line {i} of a text that goes on and on about the number {i * i}." for i in range(200))
    documents = [Document(text, "0")]
    data = prepare(make_corpus("made", documents, documents), ByteTokenizer(), data_folder(store))
    spec = Spec(n_layers=1, d_model=16, n_heads=2, seq_len=32, vocab_size=data.vocab_size)
    record = execute(Job(spec, Recipe(tokens_per_step=64), 1, 1.0, 0, data.sha256, str(store), "cpu"))
    assert record is not None
    return str(RunStore(store).folder(record.key))


@pytest.fixture
def hf_folder(tmp_path: Path) -> Path:
    """A Llama-form model with a tokenizer, as transformers would save it."""
    tokenizer = train_bpe(300, [Document("the cat sat on the mat and then it ran off " * 40, "a")], tmp_path)
    folder = tmp_path / "llama"
    spec = preset("llama").replace(n_layers=1, d_model=16, n_heads=2, seq_len=64, vocab_size=tokenizer.vocab_size)
    save_huggingface(Transformer(spec, seed=0), folder)
    (folder / "tokenizer.json").write_text(tokenizer._model)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token_id": tokenizer.end_of_text}))
    return folder


def task_file(folder: Path, text: str = "{{q}}?", rows: str = '{"q": "a"}\n') -> str:
    (folder / "rows.jsonl").write_text(rows)
    (folder / "mine.yaml").write_text(TASK.format(file=folder / "rows.jsonl", cache=folder / "cache", text=text))
    return str(folder / "mine.yaml")


def test_a_run_is_scored_on_its_own_corpus(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([run, "--limit", "8", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "cloze  acc " in text
    assert "chance 0.25" in text
    assert "did not fit the model's 32 tokens" in text


def test_json_holds_every_item(run: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([run, "--tasks", f"cloze,{task_file(tmp_path)}", "--limit", "5", "--json", "--device", "cpu"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["tasks"]["cloze"]["items"]["loglikelihoods"]) == 5
    assert document["tasks"]["mine"]["metrics"]["acc"]["chance"] == 0.5


def test_a_transformers_folder_is_scored(hf_folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([str(hf_folder), "--tasks", task_file(tmp_path), "--json", "--device", "cpu"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["max_length"] == 64
    assert document["tasks"]["mine"]["metrics"]["acc"]["value"] in (0.0, 1.0)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*arguments, "--device", "cpu"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_bad_folders(tmp_path: Path, run: str, hf_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no folder" in refused([str(tmp_path / "nowhere")], capsys)
    assert "no record.json" in refused([str(tmp_path)], capsys)
    assert "made from the validation split" in refused([str(hf_folder)], capsys)
    (hf_folder / "tokenizer.json").unlink()
    assert "tokenizer.json, and" in refused([str(hf_folder), "--tasks", "piqa"], capsys)


def test_a_damaged_tokenizer(hf_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (hf_folder / "tokenizer.json").write_text("{}")
    assert "is not a tokenizer" in refused([str(hf_folder), "--tasks", "piqa"], capsys)


def test_bad_tasks(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not a working lm-eval task" in refused([run, "--tasks", task_file(tmp_path, text="{{q")], capsys)
    assert "is not a working lm-eval task" in refused([run, "--tasks", task_file(tmp_path, rows="")], capsys)
    assert "there is no file" in refused([run, "--tasks", str(tmp_path / "other.yaml")], capsys)
    assert "names divided by commas" in refused([run, "--tasks", ","], capsys)
    assert "at least 1" in refused([run, "--limit", "0"], capsys)


def test_an_unknown_task(run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Index:
        task_index = all_tasks = ("hellaswag",)

    monkeypatch.setattr(stock, "_manager", Index)  # reading lm-eval's own takes seconds
    assert "unknown task 'arc_esay'; did you mean 'arc_easy'?" in refused([run, "--tasks", "arc_esay"], capsys)


def test_weights_that_are_not_numbers_are_said_so(
    hf_folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    path = hf_folder / "model.safetensors"
    save_file(
        {k: torch.full_like(v, float("nan")) for k, v in load_file(path).items()}, path, metadata={"format": "pt"}
    )
    assert main([str(hf_folder), "--tasks", task_file(tmp_path), "--device", "cpu"]) == 0
    assert "mine: 1 of 1 items have a likelihood that is not a number and count as wrong" in capsys.readouterr().out
