"""Mixtures of experts in a report: balance, load and capacity, of the arms that have a mixture."""

from __future__ import annotations

import dataclasses

from harness.reporting.sections.experts import section


def test_balance_load_and_capacity(with_scores) -> None:
    found = section(with_scores)
    assert found is not None
    balance, capacity = found.grids
    assert [row[:3] for row in balance.rows] == [("ffn=moe", "4", "2")]
    assert balance.rows[0][3] == "1.0000 [1.0000, 1.0000]", "MaxVio 0.5 and 1.5 of the two layers"
    assert balance.rows[0][5] == "0.1250 [0.1250, 0.1250]", "one of eight experts is dead"
    assert capacity.columns == ("arm", "0.5", "1", "1.25", "2", "no limit")
    drop, loss = capacity.rows[0][2].split("\n")
    assert drop.startswith("0.1150 [")
    assert loss.startswith("1.7665 [")
    assert [drawing.name for drawing in found.drawings] == ["experts", "capacity"]


def test_without_capacity_scores_there_is_balance_alone(with_scores) -> None:
    runs = [dataclasses.replace(run, scores=()) for run in with_scores.runs]
    found = section(dataclasses.replace(with_scores, runs=runs))
    assert found is not None
    assert [grid.title for grid in found.grids] == ["Balance"]
    assert [drawing.name for drawing in found.drawings] == ["experts"]


def test_nothing_without_a_mixture(equivalent) -> None:
    assert section(equivalent) is None
