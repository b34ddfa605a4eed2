"""A sweep's report: the winner as fresh seeds judge it, then the search that found it."""

from __future__ import annotations

from pathlib import Path

from harness.analyse.forest import forest
from harness.analyse.text import count, duration, number
from harness.records.sweep import DimensionRecord, SweepRecord, TrialRecord
from harness.reporting.figures import search
from harness.reporting.figures.forest import forest_plot
from harness.reporting.files import write_page
from harness.reporting.page import Page, command_text, verdict_text
from harness.reporting.section import Drawing, Grid, Material, Section

MOST_TRIALS = 100
"""Rows of the table of trials; sweep.json has them all."""


def write_sweep_report(folder: Path, sweep: SweepRecord, confirmation: Material | None) -> Path:
    """Write report.html, report.md and the figures; returns the path of report.html.

    Args:
        confirmation: the study of the winner on fresh seeds.

    Raises:
        StoreError: the disk refuses.
    """
    return write_page(folder, sweep_page(sweep, confirmation))


def sweep_page(sweep: SweepRecord, confirmation: Material | None) -> Page:
    """The page of a sweep."""
    comparisons = [] if confirmation is None else list(confirmation.comparisons)
    rows = forest(comparisons)
    alt = "The winner's difference from the baseline on fresh seeds"
    return Page(
        headline=_headline(sweep, confirmation),
        study=sweep.name,
        created=sweep.created,
        summary=_summary(sweep),
        verdicts=[verdict_text(c) for c in comparisons],
        forest=None if rows is None else Drawing("forest", forest_plot(rows), alt),
        setup=_setup(sweep),
        sections=[s for s in (_front(sweep), _history(sweep), _importances(sweep), _trials(sweep)) if s is not None],
        notes=[_method(sweep)],
        command=command_text(sweep.command, "harness.sweep"),
    )


def _headline(sweep: SweepRecord, confirmation: Material | None) -> str:
    if confirmation is None or not confirmation.comparisons:
        return f"No verdict: {sweep.note}"
    verdict = verdict_text(confirmation.comparisons[0])
    return f"Of {count(len(sweep.trials), 'trial')} the best, on fresh seeds: {verdict.words}"


def _summary(sweep: SweepRecord) -> str:
    states = [trial.state for trial in sweep.trials]
    parts = [f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed") if state in states]
    return f"{count(len(states), 'trial')} ({', '.join(parts)}), {duration(sum(t.seconds for t in sweep.trials))}"


def _setup(sweep: SweepRecord) -> list[tuple[str, str]]:
    return [
        ("objectives", ", ".join(f"{o.name} ({o.direction})" for o in sweep.objectives)),
        ("space", "; ".join(_space(d) for d in sweep.dimensions)),
        ("sampler, pruner", f"{sweep.sampler}, {sweep.pruner}"),
        ("matched by", f"{sweep.match}, {sweep.budget:.3e} training FLOPs a trial"),
        ("trials' seed", f"{sweep.seed}; the winner is judged on others"),
        ("data", ", ".join(f"{k} {v}" for k, v in sweep.data.items() if not k.endswith("sha256"))),
        ("confirmation", sweep.note + (f"; study {sweep.confirmation}" if sweep.confirmation else "")),
    ]


def _space(dimension: DimensionRecord) -> str:
    if dimension.values is not None:
        return f"{dimension.name} of {', '.join(dimension.values)}"
    return f"{dimension.name} {dimension.low:g} to {dimension.high:g}{', logarithmic' if dimension.log else ''}"


def _front(sweep: SweepRecord) -> Section | None:
    svg = search.front(sweep)
    if svg is None:
        return None
    caption = "A trial on the front is worse than no other in every objective at once. One seed a trial."
    return Section("Pareto front", drawings=(Drawing("front", svg, "Trials by objective, the front marked", caption),))


def _history(sweep: SweepRecord) -> Section | None:
    if not any(trial.state == "complete" for trial in sweep.trials):
        return None
    drawings = tuple(
        Drawing(f"history-{i}", search.history(sweep, i), f"{o.name} by trial, and the best so far")
        for i, o in enumerate(sweep.objectives)
    )
    return Section("History", drawings=drawings)


def _importances(sweep: SweepRecord) -> Section | None:
    found = [(i, o.name, search.importances(sweep, i)) for i, o in enumerate(sweep.objectives)]
    drawings = tuple(
        Drawing(f"importances-{i}", svg, f"Importance of each parameter for {name}") for i, name, svg in found if svg
    )
    note = "Share of the variance over these trials that a parameter explains (fANOVA); a hint, not a test."
    return Section("Parameter importances", (note,), drawings=drawings) if drawings else None


def _trials(sweep: SweepRecord) -> Section | None:
    names = [d.name for d in sweep.dimensions if d.values is None or len(d.values) > 1]
    columns = ("trial", "state", *names, *(o.name for o in sweep.objectives), "arm", "reason")
    shown = sorted(sweep.trials, key=lambda t: _order(sweep, t))[:MOST_TRIALS]
    rows = [
        (
            f"{t.number}{' (winner)' if t.number == sweep.winner else ''}",
            t.state,
            *(_cell(t.params.get(name)) for name in names),
            *(number(t.values[i], 5) if t.values else "n/a" for i in range(len(sweep.objectives))),
            t.arm,
            t.reason,
        )
        for t in shown
    ]
    left = f"; {len(sweep.trials) - len(shown)} more are in sweep.json" if len(sweep.trials) > len(shown) else ""
    note = f"Best first by {sweep.objectives[0].name}, one seed each: an order among them is no verdict{left}."
    return Section("Trials", grids=(Grid(columns, rows, note),)) if rows else None


def _order(sweep: SweepRecord, trial: TrialRecord) -> tuple[int, float, int]:
    sign = 1 if sweep.objectives[0].direction == "minimize" else -1
    return (0 if trial.values else 1, sign * trial.values[0] if trial.values else 0.0, trial.number)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _method(sweep: SweepRecord) -> str:
    return (
        f"Trials are trained on one seed at equal {sweep.match} and ranked by {sweep.objectives[0].name}. The best of "
        "many looks better than it is (the winner's curse), so it is trained again on seeds that no trial has seen, "
        "beside the baseline, and only that comparison is a verdict. A loss at a rung is of a schedule that has not "
        "come down yet; it may prune a trial and is no result."
    )
