from __future__ import annotations

import pytest

from harness.data.corpora import journey_to_the_west
from harness.data.documents import SPLITS


@pytest.mark.usefixtures("harness_data")
def test_the_novel_is_whole_with_its_line_ends() -> None:
    corpus = journey_to_the_west.load()
    pieces = [corpus.documents(split)[0].text for split in SPLITS]
    assert sum(len(piece.encode()) for piece in pieces) == journey_to_the_west.FILE.size
    assert all(piece.endswith("\r\n") for piece in pieces[:2])
    assert [len(piece) / sum(map(len, pieces)) for piece in pieces] == pytest.approx([0.9, 0.05, 0.05], abs=0.01)
