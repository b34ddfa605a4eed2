"""The user's own text: one file, cut by position, or a folder, where a file is a document."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.data.documents import Corpus, Document, make_corpus
from harness.data.split import split_documents
from variants.errors import UserError


def load_path(name: str) -> Corpus:
    """The corpus at a path that exists. `name` is the path as the user wrote it."""
    path = Path(name).expanduser()
    if path.is_dir():
        documents = [Document(read_text(path / file), file) for file in sorted(_files(path))]
        if not documents:
            raise UserError(f"a corpus needs some text, and the folder {name!r} holds no file; give another --data")
    else:
        documents = [Document(read_text(path), path.name)]
    if not any(document.text for document in documents):
        raise UserError(f"a corpus needs some text, and {name!r} is empty; give another with --data")
    return make_corpus(name, **split_documents(documents, name))


def read_text(path: Path) -> str:
    """The file's text, line ends as they are; refuses what is not UTF-8 text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"the files of a corpus must be readable, and {path} is not ({error.strerror})") from error
    if b"\0" in data:
        raise UserError(
            f"the files of a corpus are text, and {path} is binary (a NUL byte at {data.index(0)}); "
            "take it out, or convert it to UTF-8 text"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"the files of a corpus are UTF-8 text, and {path} is not (byte {data[error.start]:#04x} at {error.start})"
            "; take it out, or convert it to UTF-8"
        ) from error


def _files(folder: Path) -> Iterator[str]:
    """Every file below the folder, by its relative path; hidden files and folders are skipped."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path.relative_to(folder).as_posix()
