"""Time by kind of a real profile against torch's own sums of it, which know nothing of kinds or sequence numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from harness.score.profiler.kinds import BACKWARD, RANGE, Kind, time_by_kind
from harness.score.profiler.profile import events_of

BACKWARD_NODES: dict[Kind, tuple[str, ...]] = {
    "norm": ("NativeLayerNormBackward0",),
    "activation": ("GeluBackward0",),
    "matmul": ("AddmmBackward0", "TBackward0"),
    "router": ("SoftmaxBackward0",),
}
"""The autograd nodes of the four operators below; each belongs to one of them alone."""


class Tiny(nn.Module):
    """norm, product, activation and softmax, one after the other, each in its range; a sum that is in none."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(64), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        with record_function(f"{RANGE}norm"):
            h = self.norm(x)
        with record_function(f"{RANGE}matmul"):
            h = self.linear(h)
        with record_function(f"{RANGE}activation"):
            h = nn.functional.gelu(h)
        with record_function(f"{RANGE}router"):
            h = h.softmax(dim=-1)
        return (h * x).sum()


@pytest.fixture(scope="module")
def profiled() -> profile:
    torch.manual_seed(0)
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(256, 64)
    for _ in range(2):
        model(x).backward()
    with profile(activities=[ProfilerActivity.CPU]) as made:
        for _ in range(3):
            optimizer.zero_grad()
            model(x).backward()
            optimizer.step()
    return made


def microseconds(profiled: profile, name: str, *, inside: bool = False) -> float:
    """Total of a name by torch's own table; `inside`, without what it took itself."""
    rows = [row for row in profiled.key_averages() if row.key == name]
    assert rows, name
    return sum(row.cpu_time_total - inside * row.self_cpu_time_total for row in rows)


def test_each_kind_is_its_ranges_and_its_backward_nodes(profiled: profile) -> None:
    seconds = time_by_kind(events_of(profiled.events(), on_device=False))
    for kind, nodes in BACKWARD_NODES.items():
        forward = microseconds(profiled, RANGE + kind, inside=True)
        backward = sum(microseconds(profiled, BACKWARD + node) for node in nodes)
        assert forward > 0
        assert backward > 0
        assert 1e6 * seconds[kind] == pytest.approx(forward + backward, rel=1e-6), kind


def test_the_optimizer_is_what_its_step_does(profiled: profile) -> None:
    seconds = time_by_kind(events_of(profiled.events(), on_device=False))
    expected = sum(
        microseconds(profiled, name, inside=True)
        for name in ("Optimizer.step#SGD.step", "Optimizer.zero_grad#SGD.zero_grad")
    )
    assert 1e6 * seconds["optimizer"] == pytest.approx(expected, rel=1e-6)


def test_nothing_is_counted_twice_or_left_out(profiled: profile) -> None:
    seconds = time_by_kind(events_of(profiled.events(), on_device=False))
    rows = [row for row in profiled.key_averages() if not row.key.startswith((RANGE, "Optimizer."))]
    assert 1e6 * sum(seconds.values()) == pytest.approx(sum(row.self_cpu_time_total for row in rows), rel=1e-6)
    assert seconds["attention"] == seconds["conv"] == 0
    assert seconds["other"] > 0
