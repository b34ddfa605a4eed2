"""The generate command on a trained run: text as it comes, bytes and BPE, limits, bad folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.bpe_tokenizer import train_bpe
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.dataset import prepare
from harness.data.documents import Document, make_corpus
from harness.data.tokenizer import Tokenizer, make_tokenizer
from harness.engine.identity import key_of
from harness.engine.job import Job, execute
from harness.generate import REPLACEMENT, main, texts
from harness.records.store import RunStore
from harness.score.load import load_run
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec

MIXED = "Ein Käse, 話說孫悟空 🙂, fin."


def trained(tmp_path: Path, text: str, tokenizer: str) -> Path:
    """The folder of a run of one step."""
    documents = [Document(text, "0")]
    corpus, cache = make_corpus("made", documents, documents), tmp_path / "store" / "data"
    data = prepare(corpus, make_tokenizer(tokenizer, corpus, cache), cache)
    spec = Spec(n_layers=1, d_model=16, n_heads=2, seq_len=16, vocab_size=data.vocab_size)
    job = Job(spec, Recipe(tokens_per_step=64), 1, 1.0, 0, data.sha256, str(tmp_path / "store"), "cpu")
    record = execute(job)
    assert record is not None
    return RunStore(job.store).folder(record.key)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("bytes"), "the cat sat on a mat and ran. " * 300, "bytes")


def test_a_prompt_is_continued_and_repeats(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = []
    for flags in (["--seed", "1"], ["--seed", "1"], ["--seed", "2"], ["--temperature", "0"], ["--top-k", "1"]):
        assert main([str(run), "the cat", "--max-tokens", "9", "--device", "cpu", *flags]) == 0
        written.append(capsys.readouterr().out)
    assert written[0] == written[1] != written[2]
    assert written[3] == written[4], "greedy is top-k 1"
    assert all(text.startswith("the cat") and text.endswith("\n") for text in written)


def test_the_default_length_fills_the_model(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "the", "--temperature", "0", "--device", "cpu"]) == 0
    loaded = load_run(run)
    assert loaded.model.position.limit == 16
    assert len(capsys.readouterr().out.rstrip("\n")) <= 16
    assert main([str(run), "the", "--max-tokens", "14", "--device", "cpu"]) == 2
    assert "a prompt of 4 tokens and 14 to write; at most 13 fit" in capsys.readouterr().err
    assert main([str(run), "x" * 40, "--device", "cpu"]) == 2
    assert "a prompt of 41 tokens" in capsys.readouterr().err


def test_the_loaded_model_has_the_trained_weights(run: Path) -> None:
    loaded = load_run(run)
    assert not loaded.model.training
    assert loaded.tokenizer.name == "bytes"
    assert loaded.data_sha256 == json.loads((run / "record.json").read_text())["identity"]["data"]
    assert (loaded.data_folder / loaded.data_sha256).is_dir()
    with torch.no_grad():
        assert loaded.model(torch.tensor([[256, 65]])).isfinite().all()


def test_bpe_and_characters_of_several_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path, MIXED * 100, "bpe:280")
    assert main([str(run), "話", "--max-tokens", "10", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("話")


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_text_comes_in_whole_characters(kind: str, tmp_path: Path) -> None:
    tokenizer: Tokenizer = ByteTokenizer()
    if kind == "bpe":
        tokenizer = train_bpe(260, [Document("ab ab", "0")], tmp_path)
    ids = tokenizer.encode(MIXED).tolist()
    pieces = list(texts(ids, tokenizer))
    assert "".join(pieces) == MIXED
    assert not any(REPLACEMENT in piece for piece in pieces)
    assert list(texts(ids[:1], tokenizer)) == ["E"], "what is whole comes at once"


def test_bytes_that_are_no_text_are_shown_and_do_not_block() -> None:
    tokenizer = ByteTokenizer()
    for broken in (b"a\x80\x80b", b"\xe8\xa9", b"\xe8a\xe8\xa9\xb1", b"\xff" * 5, b"\xf0\x9f\x99"):
        ids = list(broken)
        assert "".join(texts(ids, tokenizer)) == tokenizer.decode(np.array(ids)) == broken.decode(errors="replace")
    endless = texts([0x80] * 5, tokenizer)
    assert next(endless) == REPLACEMENT


def without_record(folder: Path) -> None:
    (folder / "record.json").unlink()


def without_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def other_weights(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"other")


def cut_record(folder: Path) -> None:
    (folder / "record.json").write_text("{")


def diverged(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, "status": "diverged"}))


def other_code(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    record["identity"]["spec"]["norm"]["options"] = {"no_such_option": 1}
    (folder / "record.json").write_text(json.dumps({**record, "key": key_of(record["identity"])}))


def edited(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    record["identity"]["spec"]["norm"]["options"] = {"eps": 0.1}
    (folder / "record.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("harm", "match"),
    [
        (without_record, "has no record.json"),
        (without_weights, "no weights.safetensors"),
        (other_weights, "does not match the sha256"),
        (cut_record, "is not a run's record"),
        (diverged, "is a run that diverged"),
        (other_code, "was trained by other code"),
        (edited, "edited by hand"),
    ],
)
def test_a_bad_folder_is_one_sentence(
    run: Path, tmp_path: Path, harm: Callable[[Path], None], match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "store" / "runs" / "ab" / run.name
    shutil.copytree(run, folder)
    shutil.copytree(run.parents[2] / "data", tmp_path / "store" / "data")
    harm(folder)
    assert main([str(folder), "a", "--device", "cpu"]) == 2
    captured = capsys.readouterr()
    assert match in captured.err
    assert captured.out == ""


def test_sampling_flags_are_checked(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, match in ((["--temperature", "-1"], "0 (greedy) or more"), (["--top-p", "1.5"], "(0, 1]")):
        assert main([str(run), "a", *flags]) == 2
        assert match in capsys.readouterr().err
