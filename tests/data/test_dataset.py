from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from harness.data import dataset
from harness.data.byte_tokenizer import ByteTokenizer
from harness.data.dataset import encode_documents, load, load_tokenizer, prepare
from harness.data.documents import SPLITS, Corpus, Document, make_corpus
from harness.data.tokenizer import make_tokenizer
from variants.errors import UserError


def test_a_stream_is_end_of_text_and_document_by_turns() -> None:
    stream, starts = encode_documents([Document("ab", ""), Document("道", "")], ByteTokenizer())
    assert stream.tolist() == [256, *b"ab", 256, *"道".encode()]
    assert starts.tolist() == [0, 3]


@pytest.mark.parametrize("name", ["bytes", "bpe:280"])
def test_what_is_prepared_is_the_corpus(name: str, corpus: Corpus, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(name, corpus, tmp_path)
    data = prepare(corpus, tokenizer, tmp_path)
    for split in SPLITS:
        documents, starts = corpus.documents(split), data.document_starts[split]
        ends = [*starts[1:], len(data.tokens(split))][: len(starts)]
        texts = [tokenizer.decode(data.tokens(split)[a:b]) for a, b in zip(starts, ends, strict=True)]
        assert texts == [document.text for document in documents]
        assert (data.tokens(split)[starts] == data.end_of_text).all()
        assert data.num_bytes[split] == sum(len(document.text.encode()) for document in documents)
        assert data.token_bytes[data.tokens(split)].sum() == data.num_bytes[split]


def test_arrays_are_read_only_maps_and_the_rest_is_frozen(corpus: Corpus, tmp_path: Path) -> None:
    data = prepare(corpus, ByteTokenizer(), tmp_path)
    assert isinstance(data.train, np.memmap)
    assert data.train.dtype == np.uint16
    assert not data.train.flags.writeable
    with pytest.raises(FrozenInstanceError):
        data.name = "x"  # type: ignore[misc]


def test_a_worker_loads_the_same_by_hash(corpus: Corpus, tmp_path: Path) -> None:
    data = prepare(corpus, make_tokenizer("bpe:280", corpus, tmp_path), tmp_path)
    again = load(tmp_path, data.sha256)
    assert np.array_equal(again.train, data.train)
    assert again.to_json() == data.to_json()
    assert load_tokenizer(tmp_path, data.sha256).sha256 == data.tokenizer_sha256


def test_the_record_says_what_the_data_was(corpus: Corpus, tmp_path: Path) -> None:
    data = prepare(corpus, ByteTokenizer(), tmp_path)
    size = sum(len(document.text.encode()) for document in corpus.validation)
    assert data.to_json() == {
        "name": "by hand",
        "sha256": data.sha256,
        "corpus_sha256": corpus.sha256,
        "tokenizer": "bytes",
        "vocab_size": 257,
        "train_tokens": sum(len(document.text.encode()) + 1 for document in corpus.train),
        "validation_tokens": size + 2,
        "validation_bytes": size,
    }


def test_equal_content_is_tokenized_once_whatever_its_name(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(corpus, ByteTokenizer(), tmp_path)
    monkeypatch.setattr(dataset, "encode_documents", lambda *_: pytest.fail("tokenized again"))
    second = prepare(replace(corpus, name="another"), ByteTokenizer(), tmp_path)
    assert (second.sha256, second.name, first.name) == (first.sha256, "another", "by hand")


def test_other_text_or_tokenizer_has_another_hash(corpus: Corpus, tmp_path: Path) -> None:
    hashes = {
        prepare(corpus, ByteTokenizer(), tmp_path).sha256,
        prepare(corpus, make_tokenizer("bpe:280", corpus, tmp_path), tmp_path).sha256,
        prepare(make_corpus("n", corpus.train, corpus.train), ByteTokenizer(), tmp_path).sha256,
    }
    assert len(hashes) == 3


def test_several_may_prepare_at_once(corpus: Corpus, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: prepare(corpus, ByteTokenizer(), tmp_path), range(16)))
    assert len({data.sha256 for data in made}) == 1
    assert [path.name for path in tmp_path.iterdir()] == [made[0].sha256]


def test_a_large_vocabulary_takes_wider_ids() -> None:
    class Wide(ByteTokenizer):
        vocab_size = 1 << 16

    assert encode_documents([Document("a", "")], Wide())[0].dtype == np.uint32
    assert encode_documents([], ByteTokenizer())[0].shape == (0,)


def test_a_split_shorter_than_a_window_is_refused_with_numbers(tmp_path: Path) -> None:
    data = prepare(make_corpus("n", [Document("a" * 50, "")], [Document("b" * 10, "")]), ByteTokenizer(), tmp_path)
    data.require(10)  # 11 tokens with end-of-text
    with pytest.raises(UserError, match="seq_len 11 needs at least 12 tokens in the validation split, and 'n' has 11"):
        data.require(11)
    with pytest.raises(UserError, match="in the train split, and 'n' has 51 there"):
        data.require(51)


def test_data_that_was_not_prepared_is_named(tmp_path: Path) -> None:
    for open_it in (load, load_tokenizer):
        with pytest.raises(UserError, match=f"'abc' is not under {tmp_path}"):
            open_it(tmp_path, "abc")


@pytest.mark.parametrize("name", ["meta.json", "tokenizer.json", "train.npy", "validation_starts.npy"])
@pytest.mark.parametrize("kept", [0, 20, -1])
def test_damaged_data_is_named(name: str, kept: int, corpus: Corpus, tmp_path: Path) -> None:
    data = prepare(corpus, make_tokenizer("bpe:280", corpus, tmp_path), tmp_path)
    path = tmp_path / data.sha256 / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=f"the prepared data in {path.parent} is damaged .* delete that folder"):
        (load_tokenizer if name == "tokenizer.json" else load)(tmp_path, data.sha256)
