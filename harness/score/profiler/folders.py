"""Names of arms as folders, which TensorBoard shows as runs. A name is a user's and never becomes a path as it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

RESERVED = "profile"
"""The folder of the traces, which stands beside those of the arms."""

LONGEST = 60
"""Characters of a folder's name; file systems allow 255 bytes, and TensorBoard's list of runs is narrow."""


def folders(names: Sequence[str]) -> dict[str, str]:
    """A folder for each name: one path component of ASCII letters, digits and `=._-`, different for different names.

    Names that would share a folder, on a file system that knows no capitals too, get the beginning of their SHA-256.
    The same names get the same folders in any order.
    """
    plain = {name: _safe(name) for name in names}
    taken = [RESERVED, *(folder.lower() for folder in plain.values())]
    return {
        name: folder if taken.count(folder.lower()) == 1 else f"{folder}-{_digest(name)}"
        for name, folder in plain.items()
    }


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9=._]+", "-", name).strip("-.")[:LONGEST].rstrip("-.") or "arm"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
