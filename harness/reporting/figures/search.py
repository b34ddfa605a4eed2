"""optuna's own figures of a search, in the manner of ours: history, parameter importances, Pareto front.

The study is made again from the records, so that a report needs neither the storage nor torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from optuna.visualization import matplotlib as drawn

from harness.records.sweep import DimensionRecord, SweepRecord, TrialRecord
from harness.reporting.figures.style import style, svg_of

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}

FEWEST = 2
"""Complete trials under which an importance or a front says nothing."""


def study_of(record: SweepRecord) -> optuna.Study:
    """The search as an optuna study in memory, for its figures and for notebooks."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=[objective.direction for objective in record.objectives])
    distributions = {d.name: _distribution(d) for d in record.dimensions if d.values is None or len(d.values) > 1}
    study.add_trials([_trial(trial, distributions) for trial in record.trials])
    return study


def history(record: SweepRecord, objective: int) -> str:
    """Each trial's value, and the best so far."""
    name = record.objectives[objective].name
    return _drawn(
        f"history-{objective}",
        lambda: drawn.plot_optimization_history(study_of(record), target=_target(record, objective), target_name=name),
    )


def importances(record: SweepRecord, objective: int) -> str | None:
    """How much of an objective's variance over the trials each parameter explains (fANOVA, Hutter et al. 2014).

    None where there are too few trials, or nothing varies.
    """
    study = study_of(record)
    complete = [t for t in record.trials if t.state == "complete"]
    values = {t.values[objective] for t in complete}
    if (
        len(complete) < FEWEST
        or len(values) < 2
        or not any(len({str(t.params.get(d.name)) for t in complete}) > 1 for d in record.dimensions)
    ):
        return None
    name = record.objectives[objective].name
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return _drawn(
        f"importances-{objective}",
        lambda: drawn.plot_param_importances(
            study, evaluator=evaluator, target=_target(record, objective), target_name=name
        ),
    )


def front(record: SweepRecord) -> str | None:
    """The Pareto front of two or three objectives; None for one, or too few trials."""
    complete = [t for t in record.trials if t.state == "complete"]
    if len(record.objectives) not in (2, 3) or len(complete) < FEWEST:
        return None
    names = [objective.name for objective in record.objectives]
    return _drawn("front", lambda: drawn.plot_pareto_front(study_of(record), target_names=names))


def _target(record: SweepRecord, objective: int) -> Callable[[Any], float] | None:
    """None for a single objective, which optuna then names itself."""
    return None if len(record.objectives) == 1 else lambda trial: trial.values[objective]


def _drawn(name: str, draw: Callable[[], Axes]) -> str:
    with style(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # one for each parameter that only some trials have
        figure = draw().get_figure()
        assert isinstance(figure, Figure)
        figure.set_size_inches(7.2, 4.2)
        try:
            return svg_of(figure, name)
        finally:
            pyplot.close(figure)  # optuna draws by pyplot, which keeps what is not closed


def _distribution(dimension: DimensionRecord) -> BaseDistribution:
    if dimension.values is not None:
        return CategoricalDistribution(tuple(dimension.values))
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.kind == "int":
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _trial(trial: TrialRecord, distributions: dict[str, BaseDistribution]) -> optuna.trial.FrozenTrial:
    return create_trial(
        state=_STATES[trial.state],
        params=trial.params,
        distributions={name: distributions[name] for name in trial.params},
        values=trial.values or None,
        intermediate_values={int(step): loss for step, loss in trial.rungs if loss is not None},
    )
