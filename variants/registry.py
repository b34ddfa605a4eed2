"""Find variants by slot and name. The folder is the list: `norm=rms` is `variants/norm/rms.py`.

A variant file registers exactly one class under its own file name:

    @register("norm", "rms")
    class RMSNorm(nn.Module): ...

Names and first docstring lines are read without importing the files, so listing needs no torch.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from variants.errors import UserError, nearest

SLOTS = ("norm", "activation", "position", "ffn", "attention", "residual")

_ROOT = Path(__file__).parent
_registered: dict[tuple[str, str], type] = {}

Class = TypeVar("Class", bound=type)


def register(slot: str, name: str) -> Callable[[Class], Class]:
    """Class decorator that makes a class the variant `name` of `slot`.

    Raises:
        ValueError: the slot is unknown, or two classes claim one name.
    """
    if slot not in SLOTS:
        raise ValueError(f"register({slot!r}, {name!r}): the slots are {', '.join(SLOTS)}")

    def add(cls: Class) -> Class:
        known = _registered.get((slot, name))
        if known is not None and known.__module__ != cls.__module__:
            raise ValueError(f"{slot}={name} is registered twice: {known.__module__} and {cls.__module__}")
        _registered[slot, name] = cls
        return cls

    return add


def canonical(slot: str, name: str) -> str:
    """The file's own name of a variant: a hyphen may stand for an underscore, `deepseek-v3` is `deepseek_v3`.

    Raises:
        UserError: no such slot or variant; the nearest name is suggested.
    """
    if slot not in SLOTS:
        raise UserError(f"unknown slot {slot!r}{nearest(slot, SLOTS)}")
    stem = name.replace("-", "_")
    if stem not in names(slot):
        raise UserError(f"unknown variant {slot}={name}{nearest(stem, names(slot))}")
    return stem


def forget(slot: str, name: str) -> None:
    """Undo `register`, so that another class may take the name."""
    _registered.pop((slot, name), None)


def source(slot: str, name: str) -> Path:
    """The file that holds a variant. Raises `UserError` when there is none."""
    return _ROOT / slot / f"{canonical(slot, name)}.py"


def names(slot: str) -> list[str]:
    """The variants of a slot, sorted: its files that do not begin with an underscore."""
    folder = os.path.join(_ROOT, slot)  # a plan of 1,000 arms asks 40,000 times: no Path, and no second look
    return list(_names_in(folder, os.stat(folder).st_mtime_ns))


@functools.lru_cache(maxsize=64)
def _names_in(folder: str, changed: int) -> tuple[str, ...]:
    """The variants in a folder that was last `changed` then."""
    files = os.listdir(folder)
    return tuple(sorted(f.removesuffix(".py") for f in files if f.endswith(".py") and not f.startswith("_")))


def get(slot: str, name: str) -> type:
    """The class of a variant; imports its file on first use.

    Raises:
        UserError: no such slot or variant (the nearest name is suggested), or the file does not
            import or registers no class under its own name.
    """
    name = canonical(slot, name)
    try:
        importlib.import_module(f"variants.{slot}.{name}")
    except (ImportError, SyntaxError) as error:
        raise UserError(f"variants/{slot}/{name}.py cannot be imported: {error}") from error
    if (slot, name) not in _registered:
        raise UserError(
            f"variants/{slot}/{name}.py registers no class as ({slot!r}, {name!r}); "
            f"decorate one with @register({slot!r}, {name!r})"
        )
    return _registered[slot, name]


def options(slot: str, name: str) -> dict[str, inspect.Parameter]:
    """What a user may set on a variant: the keyword-only arguments of its constructor."""
    signature = inspect.signature(get(slot, name), eval_str=True)
    return {p.name: p for p in signature.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def summary(slot: str, name: str) -> str:
    """The first docstring line of a variant's class, read without importing its file."""
    tree = ast.parse(source(slot, name).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and _is_registration(node):
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _is_registration(node: ast.ClassDef) -> bool:
    return any(isinstance(d, ast.Call) and ast.unparse(d.func).endswith("register") for d in node.decorator_list)
