"""Write a file whole or not at all: a reader sees the old text or the new one, never half of either.

The text goes to a temporary file in the same folder, is forced to disk, and takes the name in one
`os.replace`; then the folder is forced to disk too (Pillai et al. 2014, "All File Systems Are Not
Created Equal", on why each step is needed). A kill leaves at worst a hidden `.NAME.*.tmp` beside it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


class StoreError(RuntimeError):
    """The disk refused. The message is one sentence: the path, the reason, what still holds."""


def write_text(path: Path, text: str) -> None:
    """Give `path` the content `text`, in UTF-8, atomically; the folder is made if it is not there.

    Raises:
        StoreError: the disk is full, the folder cannot be written to, or the like; `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(temporary, text.encode())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; what was there before still is") from error


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
