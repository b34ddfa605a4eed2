"""The edge of a command: errors become one sentence and an exit code.

0 done; 1 the machine failed (disk full, a file that cannot be written); 2 bad input; 130 Ctrl-C; 143 SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from harness.records.atomic import StoreError
from variants.errors import UserError


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; handled like Ctrl-C, with its own exit code."""


def run_command(command: Callable[[], int]) -> int:
    """The exit code of `command`, its errors printed on stderr as one sentence."""
    previous = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, _terminate)
        return command()
    except UserError as error:
        return _say(str(error), 2)
    except BrokenPipeError:  # whoever read our output, head say, has seen enough
        sys.stdout = None  # so that the interpreter does not try to flush it
        return 0
    except (StoreError, OSError) as error:
        return _say(f"cannot go on: {error}", 1)
    except Terminated:
        return _say("terminated; the same command continues from here", 143)
    except KeyboardInterrupt:
        return _say("stopped; the same command continues from here", 130)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _say(sentence: str, code: int) -> int:
    print(f"error: {' '.join(sentence.split())}" if code < 100 else sentence, file=sys.stderr)
    return code
