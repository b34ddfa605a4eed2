"""The small grammar's documents, written down once."""

from __future__ import annotations

import pytest

from tests.data.microworld.small import Value, every_document, small_grammar


@pytest.fixture(scope="session")
def documents() -> list[Value]:
    return every_document(small_grammar())
