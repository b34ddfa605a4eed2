"""The version that every record carries; a reader refuses one it does not know."""

from __future__ import annotations

from typing import Any

from variants.errors import UserError

SCHEMA_VERSION = 1


def check_version(data: dict[str, Any], what: str) -> None:
    """Raise `UserError` unless `data` was written by this schema version."""
    if data.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{what} has schema_version {data.get('schema_version')!r}, this program reads {SCHEMA_VERSION}; "
            "rebuild it with the program that wrote it"
        )
