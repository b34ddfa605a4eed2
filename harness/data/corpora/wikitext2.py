"""`wikitext2`: WikiText-2 v1 (Merity et al. 2016, arXiv:1609.07843), word-tokenised with `<unk>`, its own three
splits. A document is an article: 600 to train on, 60 to validate, 60 to test.
"""

from __future__ import annotations

import re

from harness.data.documents import SPLITS, Corpus, Document, make_corpus
from harness.data.known_file import KnownFile

FILES = {
    "train": KnownFile(
        path="text/wikitext-2/train.txt",
        sha256="9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
        size=10_797_148,
    ),
    "validation": KnownFile(
        path="text/wikitext-2/valid.txt",
        sha256="f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        size=1_121_681,
    ),
    "test": KnownFile(
        path="text/wikitext-2/test.txt",
        sha256="d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        size=1_256_449,
    ),
}

HEADING = re.compile(r"^ \n = (?!= )([^\n]*) = \n \n", re.MULTILINE)
"""A heading of level one stands between blank lines, which tells it from a table's legend (` = Losses ; D = `)."""


def load() -> Corpus:
    train, validation, test = (articles(FILES[split].read(), split) for split in SPLITS)
    return make_corpus("wikitext2", train, validation, test)


def articles(text: str, name: str) -> list[Document]:
    """The articles in order; together they are the whole text, what precedes the first heading included."""
    headings = list(HEADING.finditer(text))
    if not headings:
        return [Document(text, name)]
    starts = [0, *(heading.start() for heading in headings[1:])]
    ends = [*starts[1:], len(text)]
    return [Document(text[a:b], heading[1]) for a, b, heading in zip(starts, ends, headings, strict=True)]
