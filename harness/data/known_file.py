"""Public files kept outside the repository: looked for under the folder HARNESS_DATA names, known by their SHA-256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from variants.errors import UserError

VARIABLE = "HARNESS_DATA"


@dataclass(frozen=True)
class KnownFile:
    """A file by its content; `path` is only where to look first."""

    path: str  # relative to the folder, with forward slashes
    sha256: str
    size: int  # bytes

    def find(self) -> Path:
        """Where the file lies: at its usual path, or anywhere below the folder under any name."""
        folder = data_folder(self.path)
        usual = folder / self.path
        for path in (usual, *self._same_size(folder)):
            if path.is_file() and _sha256(path) == self.sha256:
                return path
        if usual.is_file():
            raise UserError(
                f"{self.path} is known by SHA-256 {self.sha256[:16]}..., and {usual} has {_sha256(usual)[:16]}...; "
                f"put the original file there"
            )
        raise UserError(
            f"no file with the SHA-256 of {self.path} ({self.sha256[:16]}..., {self.size} bytes) lies under {folder}, "
            f"the folder {VARIABLE} names; put it at {usual}"
        )

    def read(self) -> str:
        """The file's text, line ends as they are."""
        return self.find().read_bytes().decode()

    def _same_size(self, folder: Path) -> Iterator[Path]:
        for parent, folders, files in os.walk(folder):
            folders.sort()
            for file in sorted(files):
                path = Path(parent, file)
                if path.is_file() and path.stat().st_size == self.size:
                    yield path


def data_folder(wanted: str) -> Path:
    """The folder HARNESS_DATA names; `wanted` is what the sentence says is missing."""
    value = os.environ.get(VARIABLE)
    if not value:
        raise UserError(
            f"{wanted} is looked for under the folder that the environment variable {VARIABLE} names, "
            "and it is not set; set it, or use --data stdlib, which every Python carries"
        )
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"{wanted} is looked for under the folder that the environment variable {VARIABLE} names, "
            f"and {value!r} is not a folder; set it to one that exists"
        )
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
