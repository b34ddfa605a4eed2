"""A measurement as a record, also where it fails: nothing that is measured ends what it is measured for."""

from __future__ import annotations

import datetime
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.records.score import Measurement
from variants.errors import UserError


def attempt(name: str, identity: dict[str, Any], make: Callable[[], dict[str, Any]]) -> Measurement:
    """What `make` finds, on one thread; whatever a variant or a compiler raises is the record's reason."""
    started = time.perf_counter()
    detail: dict[str, Any] = {}
    try:
        with one_thread():
            detail = make()
        status, reason = "finished", ""
    except UserError as error:
        status, reason = "failed", str(error)
    except Exception as error:  # a variant may raise here what it does not in training; what was trained stands
        traceback.print_exc()
        status, reason = "failed", f"{type(error).__name__}: {error}"
    return Measurement(
        name=name,
        identity=identity,
        status=status,
        reason=reason,
        detail=detail,
        seconds=round(time.perf_counter() - started, 3),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """As a training process has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
