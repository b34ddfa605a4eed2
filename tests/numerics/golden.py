"""Where golden numbers are kept: one file a class of machine, renewed by `tox -e numerics-update -- "reason"`.

goldens/CLASS.json: why it was renewed, when, and for each family its losses and prints, one a line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.numerics.machine import arithmetic_class
from tests.numerics.record import Numbers, Print

FOLDER = Path(__file__).parent / "goldens"

HISTORY = 20
"""Renewals that a file remembers; git has the others."""


@dataclass(frozen=True)
class Golden:
    """`exact`: of this very class of machine, so that every bit must be the same."""

    path: Path
    exact: bool
    families: Mapping[str, Numbers]
    history: tuple[Mapping[str, str], ...]


def own_path(folder: Path = FOLDER) -> Path:
    return folder / f"{arithmetic_class()}.json"


def find(folder: Path = FOLDER) -> Golden:
    """That of this class of machine, else the first of another. Raises `FileNotFoundError` where there is none."""
    own = own_path(folder)
    path = own if own.exists() else next(iter(sorted(folder.glob("*.json"))), own)
    document = json.loads(path.read_text())
    families = {name: _numbers(found) for name, found in document["families"].items()}
    return Golden(path, path == own, families, tuple(document["history"]))


def _numbers(found: Mapping[str, Any]) -> Numbers:
    return Numbers(tuple(found["losses"]), tuple(Print(*row) for row in found["prints"]))


def write(path: Path, families: Mapping[str, Numbers], history: tuple[Mapping[str, str], ...]) -> None:
    """One print a line, so that a renewal reads well as a difference."""
    parts = [f'"{name}": {{"losses": {list(n.losses)}, "prints": [\n{_rows(n)}\n]}}' for name, n in families.items()]
    text = f'{{"history": {json.dumps(list(history[-HISTORY:]), indent=1)},\n"families": {{\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + ",\n".join(parts) + "\n}}\n")


def _rows(numbers: Numbers) -> str:
    return ",\n".join(json.dumps([p.name, p.digest, p.size], separators=(",", ":")) for p in numbers.prints)
