"""What makes a run what it is. Its digest is the key of its record, so equal content is trained once."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

import harness
from harness.spec.digest import json_sha256
from harness.spec.spec import Spec
from harness.train.manner import PLAIN, Manner
from harness.train.parallel import Parallel
from variants import registry

ROOT = Path(harness.__file__).parent.parent

NUMERIC_FILES = (
    "harness/spec/spec.py",
    "harness/model/build.py",
    "harness/model/cross_entropy.py",
    "harness/model/initialise.py",
    "harness/model/transformer.py",
    "harness/data/batches.py",
    "harness/data/windows.py",
    "harness/train/checkpoint.py",
    "harness/train/compiled.py",
    "harness/train/crew.py",
    "harness/train/device.py",
    "harness/train/eager.py",
    "harness/train/flat.py",
    "harness/train/optimizer.py",
    "harness/train/replayed.py",
    "harness/train/schedule.py",
    "harness/train/trainer.py",
    "harness/score/moe_health.py",
    "harness/score/perplexity.py",
    "harness/score/stability.py",
    "variants/slots.py",
)
"""The code whose change may change a number; a new variant or another report changes no key."""

PARALLEL_FILES = ("harness/train/shards.py", "harness/train/team.py")
"""The same, of runs over several processes alone."""

STACK_FILES = (
    "harness/data/stacked_batches.py",
    "harness/train/compiled_stack.py",
    "harness/train/stack.py",
    "harness/train/stacked.py",
)
"""The same, of runs that are trained in a stack."""

PRECISION_FILES = ("harness/train/precision.py",)
"""The same, of runs in another precision than fp32."""


def identity(
    spec: Spec,
    recipe: dict[str, Any],
    num_steps: int,
    seed: int,
    data_sha256: str,
    device_class: str,
    step_class: str = "eager",
    data_seed: int | None = None,
    rerun: int = 0,
    branch: dict[str, Any] | None = None,
    parallel: dict[str, Any] | None = None,
    manner: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The content that produces a run: equal identities give equal bits.

    Args:
        data_seed: of the data order, where it is not `seed`.
        rerun: a number for a run that is done again on purpose, to see whether the machine gives the same bits.
        branch: the key of the trunk that the run comes from, and the step at which it leaves it.
        parallel: over how many processes the run is split and how, and the digest of the code that does it.
        manner: precision and rows of its stack, where they are not the plain ones, and the digest of their code.
    """
    return {
        "spec": spec.to_json(),
        "recipe": recipe,
        "num_steps": num_steps,
        "seed": {"initial": seed, "data": seed if data_seed is None else data_seed},
        "data": data_sha256,
        "code": code_digest(spec),
        "torch": torch.__version__,
        "device": device_class,
        "step": step_class,
        **({"rerun": rerun} if rerun else {}),
        **({"branch": branch} if branch else {}),
        **({"parallel": parallel} if parallel else {}),
        **({"manner": manner} if manner else {}),
    }


def key_of(identity: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an identity."""
    return json_sha256(identity)


def parallel_class(parallel: Parallel | None) -> dict[str, Any] | None:
    """What of a run over several processes decides the bits."""
    if parallel is None:
        return None
    code = files_digest(ROOT / file for file in PARALLEL_FILES)
    return {"kind": parallel.kind, "processes": parallel.processes, "code": code}


def manner_class(manner: Manner) -> dict[str, Any] | None:
    """What of a manner decides the bits; None where it is the plain one."""
    if manner == PLAIN:
        return None
    files = [*(STACK_FILES if manner.rows else ()), *(PRECISION_FILES if manner.precision != "fp32" else ())]
    code = files_digest(ROOT / file for file in files)
    return {"precision": manner.precision, "rows": manner.rows, "code": code}


def code_digest(spec: Spec) -> str:
    """SHA-256 of the code that can change this spec's numbers, comments and docstrings left out."""
    layers = (spec, *spec.layer_counts())
    return code_digest_of(frozenset((slot, layer.choice(slot).variant) for layer in layers for slot in registry.SLOTS))


@lru_cache(maxsize=1 << 16)  # crossed slots give as many sets as arms, and each seed goes through all of them
def code_digest_of(variants: frozenset[tuple[str, str]]) -> str:
    """The same, of every spec that uses these (slot, variant)."""
    chosen = {registry.source(slot, variant) for slot, variant in variants}
    return files_digest({*(ROOT / f for f in NUMERIC_FILES), *_with_imports(chosen)})


def files_digest(paths: Iterable[Path]) -> str:
    """SHA-256 of the code in files under ROOT, comments and docstrings left out."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(_statements(path))
    return digest.hexdigest()


def _with_imports(paths: Iterable[Path]) -> set[Path]:
    """Variant files and the variant files they import, transitively."""
    found: set[Path] = set()
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported_variants(path)
    return found


@lru_cache(maxsize=1024)
def _imported_variants(path: Path) -> tuple[Path, ...]:
    files = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("variants."):
            for module in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                file = ROOT / (module.replace(".", "/") + ".py")
                if file.is_file():
                    files.append(file)
    return tuple(files)


@lru_cache(maxsize=1024)
def _statements(path: Path) -> bytes:
    """A file's place and its code without comments and docstrings, so that a corrected sentence retrains nothing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return f"{path.relative_to(ROOT)}\0{ast.dump(tree)}\0".encode()
