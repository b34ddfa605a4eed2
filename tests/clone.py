"""A clone of the repository in which a test may plant variants; tests that run beside it and list them see none."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def clone_with(folder: Path, slot: str, files: Mapping[str, str]) -> Path:
    """Make `folder` a clone whose `slot` has these variants too, by name; a command started there works on it.

    The variants are copied, the harness is linked: it finds its variants beside the place that it is imported from.
    """
    folder.mkdir()
    (folder / "harness").symlink_to(ROOT / "harness")
    shutil.copytree(ROOT / "variants", folder / "variants", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in files.items():
        (folder / "variants" / slot / f"{name}.py").write_text(text, encoding="utf-8")
    return folder
