"""The digest of plain data: what a run, a score, a scale or a study is named by."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def json_sha256(data: Any) -> str:
    """SHA-256 in hexadecimal of data as JSON with its keys sorted: equal data, equal digest."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
