"""From the names after --score to what is computed of each run and measured of all arms side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine.scorers import SCORERS
from harness.engine.scoring import ScoreRequest
from harness.score.lmeval.stock import is_file
from harness.score.lmeval.tasks import DEFAULT_TASKS
from variants.errors import UserError, nearest

MEASUREMENTS = {
    "speed": "training tokens/s, all arms side by side",
    "throughput": "training, prefill and decoding tokens/s, latency against context, memory",
    "profile": "time by kind of operation, operators, modules, memory, roofline; traces for TensorBoard",
}
"""Taken once a study, after its runs."""

DEFAULT_SCORES = ("position", "lm-eval", "speed")
"""What the main job can afford: docs/performance.md has the seconds. `facets` joins them on the corpus it is for."""

DIAGNOSTIC = {"microworld": "facets"}
"""Scores that only one corpus has."""

WORDS = ("default", "all", "none")


@dataclass(frozen=True)
class ChosenScores:
    """Requests for each run, and names of `MEASUREMENTS`."""

    requests: tuple[ScoreRequest, ...]
    measurements: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Of all of them, as a registration lists them: `lm-eval cloze`."""
        return [" ".join([q.name, *(str(v) for k, v in q.options if k == "task")]) for q in self.requests] + [
            *self.measurements
        ]


def choose_scores(chosen: str, tasks: str | None, limit: int | None, data_name: str) -> ChosenScores:
    """The scores of `--score` NAME,..., with `default`, `all` and `none` among the names.

    Args:
        tasks: lm-eval's tasks divided by commas, which also ask for `lm-eval`; None: the cloze, where it is asked for.
        limit: the first so many items of each task.
        data_name: of the corpus.

    Raises:
        UserError: an unknown score, or one that another corpus has.
    """
    diagnostic = (DIAGNOSTIC[data_name],) if data_name in DIAGNOSTIC else ()
    names = list(dict.fromkeys(name for word in _split(chosen) for name in _names(word, diagnostic)))
    for name in set(names) & set(DIAGNOSTIC.values()) - set(diagnostic):
        corpus = next(corpus for corpus, score in DIAGNOSTIC.items() if score == name)
        raise UserError(f"--score {name} is made for --data {corpus}, and the data here is {data_name!r}; leave it out")
    if tasks is not None and "lm-eval" not in names:
        names.append("lm-eval")
    if "throughput" in names:  # which measures the training speed too
        names = [name for name in names if name != "speed"]
    requests = [request for name in names if name in SCORERS for request in _requests(name, tasks, limit)]
    return ChosenScores(tuple(requests), tuple(name for name in names if name in MEASUREMENTS))


def _names(word: str, diagnostic: Sequence[str]) -> Sequence[str]:
    if word == "none":
        return ()
    if word == "default":
        return (*DEFAULT_SCORES, *diagnostic)
    if word == "all":
        return (*(name for name in SCORERS if name not in DIAGNOSTIC.values()), *diagnostic, *MEASUREMENTS)
    known = (*SCORERS, *MEASUREMENTS)
    if word not in known:
        raise UserError(
            f"unknown score {word!r}{nearest(word, (*known, *WORDS))}; --score takes {', '.join((*known, *WORDS))}"
        )
    return (word,)


def _requests(name: str, tasks: str | None, limit: int | None) -> Iterator[ScoreRequest]:
    if name != "lm-eval":
        yield ScoreRequest(name)
        return
    for task in DEFAULT_TASKS if tasks is None else _split(tasks):
        options: dict[str, str | int | None] = {"task": task, "limit": limit}
        if is_file(task):  # what the file says is part of the score
            options["sha256"] = hashlib.sha256(_content(task)).hexdigest()
        yield ScoreRequest.from_json({"name": name, "options": options})


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"--tasks names the file {path!r}, which cannot be read ({error.strerror})") from error


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
