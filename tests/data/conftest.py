"""A corpus small enough to check by hand, and the folder of public files where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.data.documents import Corpus, Document, make_corpus

CHINESE = "道可道，非常道。\r\n名可名，非常名。\r\n"  # noqa: RUF001
CODE = 'def f(x):\n\treturn  x + 1  # "é"\n\n\n<|endoftext|> \U0001f600\n'


@pytest.fixture
def harness_data() -> Path:
    """The folder of public files; without it the test is skipped."""
    folder = os.environ.get("HARNESS_DATA")
    if not folder:
        pytest.skip("HARNESS_DATA is not set, so the public text files cannot be found")
    return Path(folder)


@pytest.fixture
def corpus() -> Corpus:
    """Two documents to train on, two to validate, none to test; Chinese, code, CRLF, an emoji."""
    train = [Document(CHINESE * 5, "chinese"), Document(CODE * 5, "code")]
    validation = [Document("ab", "two letters"), Document(CHINESE + CODE, "both")]
    return make_corpus("by hand", train, validation)
