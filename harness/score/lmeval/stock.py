"""Tasks that are lm-eval's or the user's own: by name from its thousands, or from a task file.

Reading lm-eval's index takes about 12 s (measured), so it is done only for a name that is not defined here. Its data
sets are downloaded by the datasets library, which needs a network or a cache.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Any

from variants.errors import UserError

SUFFIXES = (".yaml", ".yml")


def is_file(name: str) -> bool:
    """Whether a `--tasks` entry is meant as a path."""
    return Path(name).suffix in SUFFIXES or "/" in name


def known(name: str) -> bool:
    """Whether lm-eval has a task, group or tag of that name."""
    return name in _manager().task_index


def suggestion(name: str, also: tuple[str, ...]) -> str:
    """`"; did you mean 'arc_easy'?"`, from lm-eval's names and those defined here."""
    close = difflib.get_close_matches(name, [*also, *_manager().all_tasks], n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def load_known(name: str) -> Any:
    """The lm-eval task or group called `name`.

    Raises:
        UserError: its data cannot be had, or it needs a package that is not installed.
    """
    try:
        return _manager().load([name])
    except (ConnectionError, TimeoutError) as error:
        raise UserError(
            f"task {name!r} downloads its data from the Hugging Face hub, which cannot be reached "
            f"({_first_line(error)}); connect, or use a task whose data lies under HARNESS_DATA"
        ) from error
    except ImportError as error:
        raise UserError(f"task {name!r} needs a package that is not installed ({_first_line(error)})") from error
    except Exception as error:  # a task is a program: templates and Python of its author
        raise UserError(
            f"lm-eval could not load task {name!r} ({type(error).__name__}: {_first_line(error)}); "
            "check its data can be had, or leave it out"
        ) from error


def load_file(name: str) -> Any:
    """The task of a YAML file in lm-eval's form, each of its documents rendered once to find faults early.

    Raises:
        UserError: no such file, or it cannot be read, built or rendered.
    """
    from lm_eval.tasks import TaskManager

    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"--tasks takes lm-eval task names or task files, and there is no file {name!r}")
    try:
        loaded = TaskManager(include_defaults=False).load([str(path)])
        for task in loaded["tasks"].values():
            _render(task)
    except Exception as error:  # a task file is a program: templates and Python of its author
        raise UserError(
            f"{name} is not a working lm-eval task ({type(error).__name__}: {_first_line(error)}); correct the file"
        ) from error
    return loaded


def _render(task: Any) -> None:
    """Every document's prompt, target and choices."""
    if not len(task.eval_docs):
        raise ValueError("its data set is empty")
    for doc in task.eval_docs:
        task.doc_to_text(doc)
        task.doc_to_target(doc)
        if getattr(task.config, "doc_to_choice", None) is not None:
            task.doc_to_choice(doc)


@cache
def _manager() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
