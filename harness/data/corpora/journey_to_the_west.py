"""`journey-to-the-west`: a classical Chinese novel, 2.0 MB of UTF-8 with CRLF line ends, cut by position."""

from __future__ import annotations

from harness.data.documents import Corpus, Document, make_corpus
from harness.data.known_file import KnownFile
from harness.data.split import split_by_position

NAME = "journey-to-the-west"
FILE = KnownFile(
    path="text/journey-to-the-west/input.txt",
    sha256="3f2bf2164ee63ad7ce3ef88c830e88e860f47719740b13e6c4a1fe4d3be09b80",
    size=1_999_157,
)


def load() -> Corpus:
    return make_corpus(NAME, **split_by_position([Document(FILE.read(), NAME)]))
