"""A worker process: reads jobs as JSON lines on stdin, writes events as JSON lines on stdout.

When stdin ends, because the study was stopped or killed, the run in progress is checkpointed and the worker
leaves. It is started by harness/engine/local.py, one thread a process.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import traceback
from typing import IO, Any

from safetensors import SafetensorError

from harness.engine.job import Job, execute, failed
from harness.records.store import RunStore, StoreError
from harness.train.device import choose_device, prepare_process


def main() -> int:
    """Serve jobs until stdin ends."""
    sys.stdout, events = sys.stderr, sys.stdout  # a stray print must not break the protocol
    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
    stop = threading.Event()
    threading.Thread(target=_read, args=(sys.stdin, jobs, stop), daemon=True).start()
    while (data := jobs.get()) is not None:
        _serve(Job.from_json(data), events, stop)
    return 0


def _read(stdin: IO[str], jobs: queue.Queue[dict[str, Any] | None], stop: threading.Event) -> None:
    for line in stdin:
        jobs.put(json.loads(line))
    stop.set()
    jobs.put(None)


def _serve(job: Job, events: IO[str], stop: threading.Event) -> None:
    def send(**event: Any) -> None:
        try:
            events.write(json.dumps(event) + "\n")
            events.flush()
        except BrokenPipeError:  # the study is gone: checkpoint and leave
            stop.set()

    try:
        prepare_process(choose_device(job.device))
        record = execute(
            job,
            on_progress=lambda step, loss: send(event="progress", step=step, loss=loss),
            should_stop=stop.is_set,
        )
        status, reason = ("stopped", "") if record is None else (record.status, record.reason)
        send(event="end", status=status, reason=reason)
    except (StoreError, OSError, SafetensorError) as error:  # disk full, say: no later run would fare better
        send(event="broken", reason=f"{job.store}: {error}")
    except Exception as error:  # whatever a variant raises is that run's failure, not the study's
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
        RunStore(job.store).put(failed(job, reason))
        send(event="end", status="failed", reason=reason)


if __name__ == "__main__":
    sys.exit(main())
