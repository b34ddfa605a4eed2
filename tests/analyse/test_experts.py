"""Load and balance of mixtures over seeds, and what a capacity costs."""

from __future__ import annotations

import dataclasses

import pytest

from harness.analyse.experts import MEASURES, UNLIMITED, capacity_lines, health_rows, load_maps
from harness.analyse.levels import level
from harness.records.example import example_run, example_runs, example_study
from harness.records.example_scores import example_score, with_mixture
from variants.ffn._balance import load_statistics

BASE = [1.650, 1.655, 1.648, 1.652]
STUDY = example_study(("gpt2", "ffn=moe"))
LOADS = ([10, 50, 30, 10], [0, 100, 0, 0])


def runs_of(*by_seed: tuple[list[int], ...]):
    moe = [with_mixture(example_run("ffn=moe", seed, 1.6), loads) for seed, loads in enumerate(by_seed)]
    return [*example_runs({"gpt2": BASE}), *moe]


def test_a_map_is_of_shares_over_the_even_one() -> None:
    (found,) = load_maps(STUDY, runs_of(LOADS))
    assert (found.arm, found.num_seeds) == ("ffn=moe", 1)
    assert found.shares == [pytest.approx([2.0, 1.2, 0.4, 0.4]), pytest.approx([4.0, 0.0, 0.0, 0.0])]
    assert load_maps(STUDY, example_runs({"gpt2": BASE})) == []


def test_collapse_on_another_expert_each_seed_stays_in_sight() -> None:
    """The mean by number would be 1 everywhere: perfectly even."""
    turned = [([100 * (i == seed) for i in range(4)],) for seed in range(4)]
    (found,) = load_maps(STUDY, runs_of(*turned))
    assert found.shares == [[4.0, 0.0, 0.0, 0.0]]


def test_measures_are_averaged_over_layers_and_then_over_seeds() -> None:
    import torch

    other = ([25, 25, 25, 25], [40, 30, 20, 10])
    (row,) = health_rows(STUDY, runs_of(LOADS, other), ["gpt2", "ffn=moe"])
    assert (row.arm, row.num_experts, row.num_layers) == ("ffn=moe", (4,), 2)
    for name in MEASURES:
        by_run = [[load_statistics(torch.tensor(load), 0.0)[name] for load in loads] for loads in (LOADS, other)]
        expected = level([sum(layers) / 2 for layers in by_run])
        found = row.measures[name]
        assert found is not None
        assert expected is not None
        assert (found.mean, found.n) == (pytest.approx(expected.mean), 2)
        assert found.ci95 == pytest.approx(expected.ci95)


def test_capacity_lines_have_no_limit_at_the_right() -> None:
    (line,) = capacity_lines(STUDY, runs_of(LOADS, LOADS))
    assert (line.loss.arm, line.loss.place, line.loss.is_baseline) == ("ffn=moe", 1, False)
    assert line.unlimited == 2.0 * UNLIMITED
    assert line.drop_rate.band.xs == line.loss.band.xs == (0.5, 1.0, 1.25, 2.0, 4.0)
    assert [at.mean for at in line.drop_rate.band.levels] == pytest.approx([0.5, 0.105, 0.05, 0.0, 0.0])
    assert line.loss.band.levels[1].mean == pytest.approx(1.65 + 0.105 + 0.0005)
    assert capacity_lines(STUDY, example_runs({"gpt2": BASE})) == []


def test_a_mixture_without_a_capacity_has_no_line_and_a_loss_that_is_no_number_no_point() -> None:
    run = with_mixture(example_run("ffn=moe", 0, 1.6), LOADS)
    for detail in ({}, {"layers": [], "capacity": [], "num_tokens": 0}):
        bare = dataclasses.replace(run, scores=(example_score(run, "capacity", (), detail),))
        assert capacity_lines(STUDY, [bare]) == []
    detail = run.scores[0].detail
    broken = {
        **detail,
        "capacity": [{**p, "nats_per_token": None} if p["capacity"] == 0.5 else p for p in detail["capacity"]],
    }
    (line,) = capacity_lines(STUDY, [dataclasses.replace(run, scores=(example_score(run, "capacity", (), broken),))])
    assert 0.5 not in line.loss.band.xs
    assert 0.5 in line.drop_rate.band.xs
