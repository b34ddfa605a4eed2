"""`stdlib`: the text every Python carries, the default because it needs no download. About 10 MB.

The help topics of pydoc (English) and the standard library's own source. Python versions differ in
it, so it is known by its hash like any other.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from harness.data.documents import Corpus, Document, make_corpus
from harness.data.split import split_by_hash

LEFT_OUT_FOLDERS = {
    "__pycache__",
    "dist-packages",
    "idle_test",
    "site-packages",
    "test",
    "testdata",
    "tests",
}
LEFT_OUT_FILES = ("pydoc_data/topics.py",)  # its texts are documents of their own
LEFT_OUT_PREFIX = "_sysconfigdata"  # written when this Python was built, with the paths of that machine


def load() -> Corpus:
    unique: dict[str, Document] = {}
    for document in (*_topics(), *_sources()):
        unique.setdefault(document.sha256, document)
    return make_corpus("stdlib", **split_by_hash(list(unique.values())))


def _topics() -> Iterator[Document]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield Document(topics[name], f"topic {name}")


def _sources() -> Iterator[Document]:
    """The library's files by their path; one that is not UTF-8 is left out."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for name in sorted(_names(root)):
        try:
            text = (root / name).read_bytes().decode()
        except UnicodeDecodeError:
            continue
        if text:
            yield Document(text, name)


def _names(root: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(root):
        folders[:] = [folder for folder in folders if folder not in LEFT_OUT_FOLDERS]
        for file in files:
            name = Path(parent, file).relative_to(root).as_posix()
            if file.endswith(".py") and not file.startswith(LEFT_OUT_PREFIX) and name not in LEFT_OUT_FILES:
                yield name
