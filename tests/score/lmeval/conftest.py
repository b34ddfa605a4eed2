"""A corpus, tokenizers and small models to score."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch

from harness.data.dataset import TokenizedData, prepare
from harness.data.documents import Corpus, Document, make_corpus
from harness.data.tokenizer import ByteTokenizer
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec

WORDS = "the cat sat on a mat and then it ran off with my hat while seven old horses looked at us"
CHINESE = "話說孫悟空自從花果山水簾洞出世以來拜師學藝得了七十二般變化又去東海龍宮借得如意金箍棒大鬧天宮"


def english(rng: random.Random, sentences: int) -> str:
    lines = (" ".join(rng.choices(WORDS.split(), k=rng.randint(5, 14))).capitalize() + "." for _ in range(sentences))
    return "\n".join(lines)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Thirty documents of English to validate with."""
    rng = random.Random(0)
    train = [Document(english(rng, 60), f"train {i}") for i in range(3)]
    return make_corpus("made up", train, [Document(english(rng, 12), f"{i}") for i in range(30)])


@pytest.fixture(scope="session")
def chinese() -> Corpus:
    """Text without spaces."""
    rng = random.Random(1)
    texts = ["".join(rng.choices(CHINESE, k=600)) for _ in range(4)]
    return make_corpus("chinese", [Document(texts[0], "a")], [Document(t, "b") for t in texts[1:]])


@pytest.fixture(scope="session")
def data(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> TokenizedData:
    return prepare(corpus, ByteTokenizer(), tmp_path_factory.mktemp("data"))


@pytest.fixture
def model() -> Transformer:
    """Random weights."""
    return small(seed=0)


@pytest.fixture
def constant() -> Transformer:
    """Every token equally likely after everything."""
    net = small(seed=0)
    torch.nn.init.zeros_(net.embedding.weight)
    return net


@pytest.fixture
def broken() -> Transformer:
    """Every likelihood NaN."""
    net = small(seed=0)
    torch.nn.init.constant_(net.embedding.weight, float("nan"))
    return net


@pytest.fixture
def blimp() -> str:
    """A few paradigms of BLiMP; without the public files the test is skipped."""
    if not os.environ.get("HARNESS_DATA"):
        pytest.skip("HARNESS_DATA is not set, so the public evaluation sets cannot be found")
    assert Path(os.environ["HARNESS_DATA"]).is_dir()
    return "blimp_wh_island,blimp_anaphor_gender_agreement,blimp_principle_A_case_1"


def small(seed: int, **changes: object) -> Transformer:
    spec = Spec(n_layers=1, d_model=16, n_heads=2, seq_len=128, position=Choice("rope")).replace(**changes)
    return Transformer(spec, seed=seed)
