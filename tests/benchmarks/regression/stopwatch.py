"""Seconds of this thread, without those it stood ready and another process had its core.

Wall clock counts a neighbour's turn, CPU time does not count a sleep or a wait for the disk, which are slowdowns too.
Linux tells how long a thread waited for a core (`/proc/thread-self/schedstat`, second number, nanoseconds): wall clock
less that is what the thread took. Elsewhere it is the wall clock alone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

SCHEDSTAT = Path("/proc/thread-self/schedstat")


class Stopwatch:
    """Call it for the seconds so far, of the thread that made it. `source` says what they are."""

    def __init__(self) -> None:
        told = SCHEDSTAT.exists() and len(SCHEDSTAT.read_text().split()) == 3
        self._file = os.open(SCHEDSTAT, os.O_RDONLY) if told else None
        self.source = "wall clock less the wait for a core" if told else "wall clock"

    def __call__(self) -> float:
        while True:  # nobody may take the core between the two readings
            before, now = self.waited(), time.perf_counter_ns()
            if self.waited() == before:
                return (now - before) * 1e-9

    def waited(self) -> int:
        """Nanoseconds that the thread stood ready without a core."""
        return 0 if self._file is None else int(os.pread(self._file, 96, 0).split()[1])
