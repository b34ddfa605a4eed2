"""lm-eval at work without its noise, and without a trace in the process's random state.

It draws a progress bar a task and warns about each custom data set; a task's own code may seed or draw from the
global generators.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

LOGGERS = ("lm_eval", "huggingface_hub")


@contextmanager
def quietly() -> Iterator[None]:
    """No progress bars, no log below ERROR, no NumPy warnings about likelihoods that are not finite."""
    import datasets
    from lm_eval.api import task

    module: Any = task
    bar, levels = module.tqdm, {name: logging.getLogger(name).level for name in LOGGERS}
    shown = not datasets.are_progress_bars_disabled()
    try:
        module.tqdm = lambda items, **_: items
        datasets.disable_progress_bars()
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        with np.errstate(all="ignore"), _random_state_kept():
            yield
    finally:
        module.tqdm = bar
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if shown:
            datasets.enable_progress_bars()


@contextmanager
def _random_state_kept() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
