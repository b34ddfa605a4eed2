"""Signs of life while a model is evaluated: a score takes seconds or hours, and its forward passes say it goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

BEAT_SECONDS = 1.0
"""At most one beat in so long: a display needs no more. Assumption."""


@contextlib.contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Call `beat` at once, and then about once a second as long as any module of this process computes."""
    last = time.monotonic()

    def on_forward(module: nn.Module, inputs: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= BEAT_SECONDS:
            last = time.monotonic()
            beat()

    beat()
    handle = nn.modules.module.register_module_forward_pre_hook(on_forward)
    try:
        yield
    finally:
        handle.remove()
