"""Score a model with lm-eval: load the tasks, let lm-eval's evaluator do them, keep every item.

`lm_eval.evaluator.evaluate` and not `simple_evaluate`, which reseeds the process and runs `pip list` (14 to 35 s).
lm-eval gives no error for a perplexity and none that knows of ties or NaN, so values and errors are computed here
from its logged samples; its own number stays beside each.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

from harness.data.dataset import TokenizedData
from harness.data.tokenizer import Tokenizer
from harness.model.transformer import Transformer
from harness.score.lmeval.scores import GroupScores, LmEvalScores, Metric, TaskScores
from harness.score.lmeval.tasks import DEFAULT_TASKS
from variants.errors import UserError


def evaluate(
    model: Transformer,
    tokenizer: Tokenizer,
    data: TokenizedData | None = None,
    task_names: Sequence[str] = DEFAULT_TASKS,
    limit: int | None = None,
) -> LmEvalScores:
    """The scores of `model` on lm-eval tasks. The global random state and the model's mode are left as they were.

    Args:
        tokenizer: the one the model was trained with.
        data: its corpus, needed for the cloze task.
        task_names: `cloze`, `blimp`, `blimp_wh_island`, `arc_easy`, ..., any lm-eval task, or a task file.
        limit: the first so many items of each task.

    Raises:
        UserError: an unknown task, data that cannot be had, a broken task file, or a limit below 1.
    """
    if limit is not None and limit < 1:
        raise UserError(f"--limit takes a number of items of at least 1, got {limit}")
    from lm_eval.evaluator import evaluate as run

    from harness.score.lmeval.adapter import HarnessLM
    from harness.score.lmeval.quiet import quietly
    from harness.score.lmeval.samples import guarded, score_task
    from harness.score.lmeval.tasks import load_tasks

    training = model.training
    try:
        with quietly():
            loaded = load_tasks(task_names, data, tokenizer)
            lm = HarnessLM(model, tokenizer)
            with guarded(loaded["tasks"]):
                results: Any = run(lm, loaded, limit=limit, bootstrap_iters=0, log_samples=True)  # type: ignore[arg-type]
            tasks = {
                name: score_task(task, results["samples"][name], results["results"][name], lm)
                for name, task in loaded["tasks"].items()
            }
    finally:
        model.train(training)
    groups = {name: _group(group, tasks, results["results"].get(name, {})) for name, group in loaded["groups"].items()}
    return LmEvalScores(tasks, groups, lm.max_length, limit, importlib.metadata.version("lm_eval"))


def _group(group: Any, tasks: dict[str, TaskScores], result: dict[str, Any]) -> GroupScores:
    """The means a group asks for; a group that asks for none has no metric."""
    members = [tasks[task.task_name] for task in group.get_all_tasks()]
    metrics: dict[str, Metric] = {}
    for wanted in group.aggregate_metric_list or []:
        having = [m for m in members if wanted.metric in m.metrics]
        if having and all(m.metrics[wanted.metric].value is not None for m in having):
            metrics[wanted.metric] = _mean_of(having, wanted.metric, wanted.weight_by_size, result)
    return GroupScores(group.name, tuple(member.task for member in members), metrics)


def _mean_of(members: Sequence[TaskScores], name: str, by_size: bool, result: dict[str, Any]) -> Metric:
    from harness.score.lmeval.metric import beats_guessing, group_estimate

    metrics = [member.metrics[name] for member in members]
    weights = [float(member.num_items) if by_size else 1.0 for member in members]
    estimate = group_estimate([m.value or 0.0 for m in metrics], weights)
    chances = [m.chance for m in metrics if m.chance is not None]
    chance = group_estimate(chances, weights).value if len(chances) == len(metrics) else None
    informative = None
    if chance is not None:
        # a spread of guessing over the members cannot be less than that of their items
        items = sum(member.num_items for member in members)
        guessing = (chance * (1 - chance) / items) ** 0.5
        broken = any(member.num_nan for member in members)
        informative = beats_guessing(estimate, chance, guessing) and not broken
    theirs = result.get(f"{name},none")
    return Metric(
        name,
        estimate.value,
        estimate.standard_error,
        estimate.ci95,
        metrics[0].unit,
        metrics[0].direction,
        chance,
        informative,
        theirs if isinstance(theirs, int | float) else None,
    )
