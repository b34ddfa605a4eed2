from __future__ import annotations

import pytest

from harness.data.corpora import wikitext2
from harness.data.corpora.wikitext2 import articles
from harness.data.documents import SPLITS

TEXT = " \n = First = \n \n Text . \n \n = = Part = = \n \n = Losses ; D = \n More . \n \n = Second 2 = \n \n End . \n"


def test_articles_begin_at_headings_of_level_one() -> None:
    found = articles(TEXT, "n")
    assert [article.name for article in found] == ["First", "Second 2"]
    assert found[1].text == " \n = Second 2 = \n \n End . \n"
    assert "".join(article.text for article in found) == TEXT


def test_text_before_the_first_heading_is_kept() -> None:
    assert "".join(article.text for article in articles("before \n" + TEXT, "n")) == "before \n" + TEXT
    assert [article.text for article in articles("no heading \n", "n")] == ["no heading \n"]


@pytest.mark.usefixtures("harness_data")
def test_the_counts_are_the_published_ones() -> None:
    corpus = wikitext2.load()
    assert [len(corpus.documents(split)) for split in SPLITS] == [600, 60, 60]
    for split, words in zip(SPLITS, (2_088_628, 217_646, 245_569), strict=True):
        text = "".join(document.text for document in corpus.documents(split))
        assert len(text.split()) + text.count("\n") == words  # a line end counts as one word
        assert len(text.encode()) == wikitext2.FILES[split].size
