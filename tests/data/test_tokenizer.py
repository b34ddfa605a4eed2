from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.data.documents import Corpus, Document, make_corpus
from harness.data.tokenizer import make_tokenizer, tokenizer_from_json
from variants.errors import UserError


@pytest.mark.parametrize("name", ["bytes", "bpe:280"])
def test_a_tokenizer_comes_back_from_its_json(name: str, corpus: Corpus, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(name, corpus, tmp_path)
    again = tokenizer_from_json(tokenizer.to_json())
    text = corpus.validation[1].text
    assert (again.name, again.sha256, again.vocab_size) == (name, tokenizer.sha256, tokenizer.vocab_size)
    assert np.array_equal(again.encode(text), tokenizer.encode(text))
    assert again.decode(tokenizer.encode(text)) == text


def test_only_the_training_split_trains(corpus: Corpus, tmp_path: Path) -> None:
    other = make_corpus("n", corpus.train, [Document("zzzz" * 100, "held out")])
    same = make_tokenizer("bpe:300", other, tmp_path / "b").sha256
    assert make_tokenizer("bpe:300", corpus, tmp_path / "a").sha256 == same


@pytest.mark.parametrize("vocab", ["", "256", "0", "-5", "1k", "1e3", "²"])
def test_a_bad_vocab_names_the_least(vocab: str, corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"whole number of at least 257 .*, not '{vocab}'; try bpe:1024"):
        make_tokenizer(f"bpe:{vocab}", corpus, tmp_path)


@pytest.mark.parametrize(("name", "hint"), [("byte", r"did you mean 'bytes'\?"), ("gpt2", "known: bpe:1024, bytes")])
def test_an_unknown_tokenizer_suggests(name: str, hint: str, corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"bytes or bpe:VOCAB, not '{name}'; {hint}"):
        make_tokenizer(name, corpus, tmp_path)


def test_importing_the_room_loads_no_large_library() -> None:
    code = (
        "import sys, harness.data.corpus, harness.data.dataset; "
        "print({'torch', 'tokenizers', 'datasets'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
