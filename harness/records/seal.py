"""A sealed document carries the SHA-256 of its own content, so a truncated, damaged or hand-edited one is refused.

The digest guards against accidents, not against someone who computes a new one.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from harness.records.atomic import StoreError
from harness.records.compact import Packed
from harness.records.schema import SCHEMA_VERSION, check_version
from variants.errors import UserError


def seal(body: dict[str, Any]) -> dict[str, Any]:
    """`body` as strict JSON data (a number that is not finite becomes None) with its version and digest."""
    body = {**finite(body), "schema_version": SCHEMA_VERSION}
    return {**body, "sha256": _digest(body)}


def read_sealed(path: Path) -> dict[str, Any]:
    """The body that was sealed into a file.

    Raises:
        FileNotFoundError: there is none.
        UserError: see `unseal`.
        StoreError: the disk refuses to read it.
    """
    try:
        return unseal(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def unseal(text: str | bytes, what: str) -> dict[str, Any]:
    """The body that `seal` was given, read from JSON.

    Raises:
        UserError: the text is not JSON, has another schema version, or its content is not what was sealed.
    """
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{what} is not readable JSON ({error}); it was cut short or damaged") from error
    if not isinstance(data, dict):
        raise UserError(f"{what} holds a JSON {type(data).__name__}, not a record; it was damaged or is another file")
    check_version(data, what)
    sealed_as = data.pop("sha256", None)
    if isinstance(sealed_as, str) and _text_digest(text, sealed_as) == sealed_as:
        return data
    try:
        digests = (_digest(data), _digest(data, sort_keys=True))  # with other spaces; as older programs sealed
    except ValueError as error:  # a number too large to be a float
        raise UserError(f"{what} holds a number that cannot be stored ({error}); it was damaged or edited") from error
    if sealed_as not in digests:
        raise UserError(f"{what} does not match its own sha256 {sealed_as!r}; it was damaged or edited by hand")
    return data


def finite(value: Any) -> Any:
    """`value` as JSON can say it: a number that is not finite becomes None, a key becomes text, a tuple a list."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | Packed):
        return [finite(inner) for inner in value]
    return value


def _digest(body: dict[str, Any], *, sort_keys: bool = False) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=sort_keys, allow_nan=False).encode()).hexdigest()


def _text_digest(text: str | bytes, sealed_as: str) -> str:
    """The digest of a text without its seal, which is that of the body if it was written on one line: the body need not
    be written again, which takes as long as reading it.
    """
    raw = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(raw.strip().replace(f', "sha256": "{sealed_as}"'.encode(), b"", 1)).hexdigest()


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
