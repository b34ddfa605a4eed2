"""What a trained run can be scored on beside its loss: one row a score, from the run to numbers for a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.data.dataset import TokenizedData
from harness.records.score import Value
from harness.score.extrapolation import extrapolation
from harness.score.facets import facet_loss
from harness.score.lmeval.run import evaluate
from harness.score.lmeval.scores import Metric
from harness.score.load import LoadedRun
from harness.score.moe_health import moe_health
from harness.score.position import loss_by_position

LATE = 0.75
"""Share of the context after which a position counts as late. Assumption: by then the early-token curse is over."""

BEYOND = 2.0
"""Context over training length whose growth stands in the row of an arm; definitions, claim C8."""

Options = Mapping[str, Any]
Scored = tuple[list[Value], dict[str, Any]]


@dataclass(frozen=True)
class Scorer:
    """`score` takes a run, its corpus and options as JSON data; `code` names the files whose change may change it."""

    score: Callable[[LoadedRun, TokenizedData, Options], Scored]
    code: tuple[str, ...]
    about: str


def _position(run: LoadedRun, data: TokenizedData, options: Options) -> Scored:
    found = loss_by_position(run.model, data)
    assert found is not None, "a model is defined for its training length"
    late = [nats for nats in found.nats[int(LATE * found.context) :] if nats is not None]
    title = f"loss in the last {1 - LATE:.0%} of the context"
    value = Value("late_context_loss", title, sum(late) / len(late) if late else None, "nats per token", "lower")
    return [value], found.to_json()


def _extrapolation(run: LoadedRun, data: TokenizedData, options: Options) -> Scored:
    found = extrapolation(run.model, data)
    growth = found.growth(BEYOND)
    mean, error = (None, None) if growth is None else growth
    reason = found.at(BEYOND).reason
    title = f"loss at {BEYOND:g}x the training length, against 1x"
    return [Value(f"growth_{BEYOND:g}x", title, mean, "nats per token", "lower", error, reason=reason)], found.to_json()


def _lm_eval(run: LoadedRun, data: TokenizedData, options: Options) -> Scored:
    found = evaluate(run.model, run.tokenizer, data, (options["task"],), options["limit"])
    return [_metric(name, metric) for name, metric in found.rows()], found.to_json()


def _metric(task: str, metric: Metric) -> Value:
    return Value(
        name=f"{task}/{metric.name}",
        title=f"{task} {metric.name}",
        value=metric.value,
        unit=metric.unit,
        direction=metric.direction,
        standard_error=metric.standard_error,
        chance=metric.chance,
        informative=metric.informative,
        reason="" if metric.value is not None else "not a number",
    )


def _capacity(run: LoadedRun, data: TokenizedData, options: Options) -> Scored:
    health = moe_health(run.model, data.validation)
    return [], {} if health is None else health.to_json()


def _facets(run: LoadedRun, data: TokenizedData, options: Options) -> Scored:
    found = facet_loss(run.model, run.tokenizer, data)
    values = [
        Value(
            name=f"facets/{part.facet}",
            title=f"{part.facet}: answers, above the entropy floor",
            value=part.excess_per_byte,
            unit="nats per byte",
            direction="lower",
            standard_error=part.standard_error,
        )
        for part in found.parts
        if part.part == "answer"
    ]
    return values, found.to_json()


SCORERS: dict[str, Scorer] = {
    "position": Scorer(
        _position,
        ("harness/score/position.py",),
        "loss by position in the context",
    ),
    "extrapolation": Scorer(
        _extrapolation,
        ("harness/score/extrapolation.py", "harness/score/position.py"),
        "loss on the same tokens with 1/4 to 8 times the training length",
    ),
    "lm-eval": Scorer(
        _lm_eval, ("harness/score/lmeval/*.py", "harness/data/microworld/*.py"), "lm-eval's tasks of --tasks"
    ),
    "facets": Scorer(
        _facets,
        ("harness/score/facets.py", "harness/data/microworld/*.py"),
        "excess over the entropy floor by facet, of --data microworld",
    ),
    "capacity": Scorer(
        _capacity,
        ("harness/score/moe_health.py",),
        "drop rate and loss against the capacity factor, of mixtures with a capacity",
    ),
}
