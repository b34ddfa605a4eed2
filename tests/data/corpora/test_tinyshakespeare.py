from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.corpora import tinyshakespeare


@pytest.mark.usefixtures("harness_data")
def test_the_sizes_are_nanogpts() -> None:
    corpus = tinyshakespeare.load()
    assert len(corpus.train[0].text) == 1_003_854  # printed by nanoGPT's prepare.py
    assert len(corpus.validation[0].text) == 111_540
    assert corpus.test == ()


def test_the_splits_are_the_file(harness_data: Path) -> None:
    corpus = tinyshakespeare.load()
    whole = (harness_data / tinyshakespeare.FILE.path).read_bytes().decode()
    assert corpus.train[0].text + corpus.validation[0].text == whole
