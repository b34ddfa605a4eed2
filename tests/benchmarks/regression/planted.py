"""A slowdown on purpose, to see whether it is caught: `PLANTED=trainer:1.5 pytest -p MODULE`, MODULE this file.

The call takes so many times its own CPU time. rates.py counts how often that is found.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any

import harness.reporting.write
import harness.train.eager
import variants.norm.rms

PLACES: dict[str, tuple[Any, str]] = {
    "variant": (variants.norm.rms.RMSNorm, "forward"),
    "trainer": (harness.train.eager.EagerStep, "__call__"),
    "report": (harness.reporting.write, "write_report"),
}


def slowed(call: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """`call`, and then nothing for (factor - 1) times what it took."""

    @functools.wraps(call)
    def slow(*args: Any, **kwargs: Any) -> Any:
        started = time.thread_time()
        result = call(*args, **kwargs)
        until = started + factor * (time.thread_time() - started)
        while time.thread_time() < until:
            pass
        return result

    return slow


def plant(words: str) -> None:
    """`trainer:1.5`."""
    place, _, factor = words.partition(":")
    owner, name = PLACES[place]
    setattr(owner, name, slowed(getattr(owner, name), float(factor)))


if "PLANTED" in os.environ:  # before the benchmarks import what is to be slow
    plant(os.environ["PLANTED"])
