"""The arrows of docs/design.md: a room imports only rooms to its left in its row."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "spec": set(),
    "model": {"spec"},
    "plan": {"spec", "model"},
    "data": {"spec"},
    "train": {"spec", "model", "plan", "data"},
    "score": {"spec", "model", "plan", "data", "train"},
    "records": {"spec"},
    "engine": {"spec", "model", "plan", "data", "train", "score", "records"},
    "analyse": {"spec", "records"},
    "reporting": {"spec", "records", "analyse"},
    "testing": {"spec", "model", "plan", "data", "train", "score"},
    "cli": {"spec", "model", "plan", "data", "train", "score", "records", "engine", "analyse", "reporting"},
}
WITHOUT_TORCH = ("records", "analyse", "reporting", "report")
FILES = sorted([*ROOT.glob("harness/**/*.py"), *ROOT.glob("variants/**/*.py")])


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            yield node.module or ""


def test_every_room_has_a_place() -> None:
    rooms = {p.name for p in (ROOT / "harness").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms == set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_left(path: Path) -> None:
    package, *below = path.relative_to(ROOT).parts
    for module in imported(path):
        if package == "variants":
            assert not module.startswith("harness"), f"variants imports {module}"
        elif len(below) >= 2 and module.startswith("harness."):
            room = module.split(".")[1]
            assert room == below[0] or room in MAY_IMPORT[below[0]], f"{below[0]} imports {module}"


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_rooms_without_torch(room: str) -> None:
    files = [
        f"harness.{p.relative_to(ROOT / 'harness').with_suffix('')}".replace("/", ".")
        for p in FILES
        if p.relative_to(ROOT).parts[:2] in {("harness", room), ("harness", f"{room}.py")}
    ]
    code = f"import sys, importlib\nfor m in {files!r}: importlib.import_module(m)\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_no_file_is_long() -> None:
    assert [str(p) for p in FILES if p.read_text(encoding="utf-8").count("\n") > 400] == []


def test_the_trainer_names_no_variant() -> None:
    from variants import registry

    names = {name for slot in registry.SLOTS for name in registry.names(slot)} - {"none", "layer", "window", "scale"}
    for path in ROOT.glob("harness/train/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in names, f"{path.name} names the variant {node.value}"
