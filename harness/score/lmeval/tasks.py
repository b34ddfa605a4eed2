"""From the names after --tasks to lm-eval tasks: the cloze, microworld's facets, those on local files, task files, and
lm-eval's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.data.dataset import TokenizedData
from harness.data.tokenizer import Tokenizer
from harness.score.lmeval import cloze, microworld, offline, stock
from variants.errors import UserError

FEWSHOT_SEED = 1234
"""Of the choice of few-shot examples; lm-eval's own default."""

DEFAULT_TASKS = (cloze.NAME,)


def load_tasks(names: Sequence[str], data: TokenizedData | None, tokenizer: Tokenizer) -> dict[str, Any]:
    """lm-eval's `{"tasks": {name: Task}, "groups": {name: Group}}` for `names`, ready to be evaluated.

    Args:
        data: whose validation split the cloze is made of; None when there is none.

    Raises:
        UserError: a name that is no task (with the nearest that is), or data that cannot be had.
    """
    loaded: dict[str, Any] = {"tasks": {}, "groups": {}}
    for name in dict.fromkeys(names):
        part = _load(name, data, tokenizer)
        loaded["tasks"] |= part["tasks"]
        loaded["groups"] |= part.get("groups", {})
    for task in loaded["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
    if not loaded["tasks"]:
        raise UserError("--tasks names no task; name at least one, for instance cloze")
    return loaded


def _load(name: str, data: TokenizedData | None, tokenizer: Tokenizer) -> dict[str, Any]:
    if name == cloze.NAME:
        if data is None:
            raise UserError(
                "the cloze task is made from the validation split of a run's own corpus, and there is none here; "
                "name other --tasks"
            )
        return _build([cloze.definition(data, tokenizer)])
    if name in microworld.names():
        return _microworld(name, tokenizer)
    if stock.is_file(name):
        return stock.load_file(name)
    if offline.file_of(name) is None:
        return _stock(name, missing="")
    try:
        found = offline.definitions(name)
    except UserError as error:  # the file is not here: the stock task may be, by network
        return _stock(name, missing=str(error))
    return _blimp(found) if name == offline.BLIMP else _build(found) if found else _stock(name, missing="")


def _stock(name: str, missing: str) -> dict[str, Any]:
    """lm-eval's own task. `missing` says why the local file was not used."""
    if not stock.known(name):
        here = (cloze.NAME, *microworld.names(), *offline.NAMES)
        raise UserError(
            f"unknown task {name!r}{stock.suggestion(name, here)} "
            f"(without a network: {', '.join((cloze.NAME, microworld.GROUP, *offline.NAMES))})"
        )
    try:
        return stock.load_known(name)
    except UserError as error:
        raise UserError(f"{missing}; and {error}" if missing else str(error)) from error


def _build(configs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from lm_eval.tasks import TaskManager

    return dict(TaskManager(include_defaults=False).load(list(configs)))


def _microworld(name: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """The facets' tasks, and for all of them a group without a mean: a mean would hide which ability it is."""
    from lm_eval.api.group import Group

    loaded = _build(microworld.definitions(name, tokenizer))
    if name != microworld.GROUP:
        return loaded
    group = Group(name, metadata={"version": 1.0})
    for task in loaded["tasks"].values():
        group.add(task)
    return {"tasks": loaded["tasks"], "groups": {group.name: group}}


def _blimp(configs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The paradigms and their mean, each paradigm counting the same, as in lm-eval's _blimp.yaml."""
    from lm_eval.api.group import Group
    from lm_eval.config.group import AggMetricConfig

    loaded = _build(configs)
    mean = AggMetricConfig(metric="acc", aggregation="mean", weight_by_size=False)
    group = Group(offline.BLIMP, aggregate_metric_list=[mean], metadata={"version": 2.0})
    for task in loaded["tasks"].values():
        group.add(task)
    return {"tasks": loaded["tasks"], "groups": {group.name: group}}
