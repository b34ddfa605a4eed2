"""Points under a made-up roof."""

from __future__ import annotations

import dataclasses
import json

import pytest

from harness.plan.ledger import count
from harness.score.profiler.roofline import roofline
from harness.score.throughput.ceilings import Ceilings
from harness.spec.spec import Spec

SPEC = Spec(n_layers=3, d_model=16, n_heads=2, seq_len=8, d_ff=32)
ROOF = Ceilings("made up", "bfloat16", 1, 100.0, 10.0)


def test_intensity_decides_the_bound() -> None:
    made = roofline(count(SPEC), ROOF)
    assert made.ridge == 10.0
    points = {p.name: p for p in made.points}
    q = points["layers.*.attention.q"]
    assert q.count == 3
    assert q.flops == 2 * 16 * 16
    assert q.num_bytes == pytest.approx(2 * (16 + 16 + (16 * 16 + 16) / 8))  # x, y, and weights once a text of 8
    assert q.intensity == pytest.approx(q.flops / q.num_bytes)
    for point in made.points:
        assert point.attainable == pytest.approx(min(100.0, 10.0 * point.intensity))
        assert point.bound == ("memory" if point.intensity < 10.0 else "compute")
    assert points["layers.*.residual.ffn_norm"].bound == "memory"
    assert json.loads(json.dumps(made.to_json()))["ceilings"]["ridge"] == 10.0


def test_wider_elements_halve_the_intensity() -> None:
    two, four = (roofline(count(SPEC), dataclasses.replace(ROOF, dtype=d)) for d in ("bfloat16", "float32"))
    for narrow, wide in zip(two.points, four.points, strict=True):
        assert wide.intensity == pytest.approx(narrow.intensity / 2)


def test_an_unknown_ceiling_gives_no_bound() -> None:
    made = roofline(count(SPEC), dataclasses.replace(ROOF, bytes_per_s=None))
    assert made.ridge is None
    assert {(p.attainable, p.bound) for p in made.points} == {(None, None)}
    assert all(p.intensity > 0 for p in made.points)
