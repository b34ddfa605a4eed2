"""How smoothly a run trained, from the loss and the gradient norm of every step, and how even its activations are.

Spikes as in OLMo 2 (arXiv:2501.00656): a value at least seven standard deviations from the mean of the thousand before
it. Kurtosis as in He et al. 2024 (arXiv:2405.19279): of the RMS of each channel, 1 where all are alike, d_model where
one holds everything.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness.data.windows import evaluation_batches
from harness.model.transformer import Transformer

DEVIATIONS, WINDOW = 7.0, 1000
"""Of a spike: its distance in standard deviations, and how many values before it are looked at."""

FEWEST = 100
"""Values before the first that is judged: fewer have no standard deviation to speak of. Assumption."""

ROWS = 50
"""Of the gradient norm's curve. Assumption: as many as a figure shows."""

TOKENS = 2**14
"""Of the text that activations are taken from: a sixtieth of the default corpus's validation split. Assumption."""

TOKENS_PER_BATCH = 4096


@dataclass(frozen=True)
class Stability:
    """`gradient_norm` holds [step, median, largest] of the norm before clipping, since the row before; `kurtosis` is
    of what each layer passes on, from the first, None for a run that diverged.
    """

    judged_steps: int
    loss_spikes: int  # of the judged steps, whose loss stands out upwards
    norm_spikes: int  # likewise of the gradient's norm
    clipped: float  # share of all steps whose gradient was clipped
    gradient_norm: list[list[float]]
    kurtosis: list[float] | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def training_stability(losses: Float[np.ndarray, "steps"], norms: Float[np.ndarray, "steps"], clip: float) -> Stability:
    """Of the steps of a run; what is not finite is left out.

    Args:
        losses: nats per token.
        norms: of the gradient of all parameters, before clipping.
        clip: the norm above which it was scaled down.
    """
    finite = np.isfinite(losses) & np.isfinite(norms)
    steps, losses, norms = np.flatnonzero(finite) + 1, losses[finite], norms[finite]
    rows = [part for part in np.array_split(np.arange(len(steps)), ROWS) if len(part)]
    curve = [[int(steps[r[-1]]), float(np.median(norms[r])), float(norms[r].max())] for r in rows]
    return Stability(
        judged_steps=max(0, len(losses) - FEWEST),
        loss_spikes=spikes(losses),
        norm_spikes=spikes(norms),
        clipped=float((norms > clip).mean()) if len(norms) else 0.0,
        gradient_norm=curve,
    )


def spikes(values: Float[np.ndarray, "steps"]) -> int:
    """How many values lie at least `DEVIATIONS` standard deviations above the mean of the `WINDOW` before them."""
    if len(values) <= FEWEST:
        return 0
    ends = np.arange(FEWEST, len(values))
    starts = np.maximum(0, ends - WINDOW)
    centred = values.astype(np.float64) - values[:FEWEST].mean()  # so that squares do not swallow the spread
    sums, squares = (np.concatenate(([0.0], np.cumsum(centred**power))) for power in (1, 2))
    count = ends - starts
    mean = (sums[ends] - sums[starts]) / count
    variance = np.maximum(0.0, (squares[ends] - squares[starts]) / count - mean**2) * count / (count - 1)
    above = centred[ends] - mean
    return int(((above >= DEVIATIONS * np.sqrt(variance)) & (above > 0)).sum())


@torch.no_grad()
def kurtosis(model: Transformer, tokens: np.ndarray) -> list[float]:
    """Of what each layer passes on: the mean over channels of s^4 over the square of the mean of s^2, where s is a
    channel's RMS over the first `TOKENS` of a text.
    """
    model.eval()
    squares: list[Tensor] = [torch.zeros((), dtype=torch.float64) for _ in model.layers]

    def note(index: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            squares[index] = squares[index] + output.double().square().flatten(0, 1).sum(dim=0).cpu()

        return hook

    handles = [layer.register_forward_hook(note(i)) for i, layer in enumerate(model.layers)]
    try:
        seq_len, device = model.spec.seq_len, model.embedding.weight.device
        batch = max(1, TOKENS_PER_BATCH // seq_len)
        for inputs, _, _ in evaluation_batches(tokens[: TOKENS + 1], seq_len, batch, device):
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [float((s**2).mean() / s.mean() ** 2) for s in squares]
