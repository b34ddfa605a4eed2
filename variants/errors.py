"""The one exception that means "the user's input is wrong": a command prints its sentence and exits with code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input. The message is one sentence: the rule, the value received, the next move."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'rms'?"` when a known name is close to `name`, else the list of known names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}? (known: {', '.join(known)})"
    return f"; known: {', '.join(known) or 'none'}"
