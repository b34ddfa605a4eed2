"""The parameters of a model and AdamW's two moments as three vectors, so that a compiled step has three
arguments instead of three a parameter, and one kernel for the update.

A parameter stays where the model keeps it: its data becomes a slice of the vector. The optimizer's state becomes
slices too, so a checkpoint is written and read the same way whichever step trains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.train.optimizer import parameter_groups

ALIGNMENT = 16
"""Elements a slice begins at a multiple of: 64 bytes in fp32, a cache line and the width of an AVX-512 register."""


@dataclass(frozen=True)
class Layout:
    """Where each parameter stands; those that decay come first and end at `num_decayed`."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    starts: tuple[int, ...]
    num_decayed: int
    size: int

    @classmethod
    def of(cls, model: Transformer) -> Layout:
        decayed, rest = parameter_groups(model)
        shapes = [p.shape for _, p in decayed + rest]
        starts = [0]
        for shape in shapes:
            starts.append(starts[-1] + -(-math.prod(shape) // ALIGNMENT) * ALIGNMENT)
        names = tuple(name for name, _ in decayed + rest)
        return cls(names, tuple(shapes), tuple(starts[:-1]), starts[len(decayed)], starts[-1])

    def slices(self, vector: Tensor) -> dict[str, Tensor]:
        """Views (..., *shape) of a vector (..., size) by the parameters' names."""
        return {
            name: vector[..., start : start + math.prod(shape)].view((*vector.shape[:-1], *shape))
            for name, start, shape in zip(self.names, self.starts, self.shapes, strict=True)
        }

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """A vector (..., size) of tensors (..., *shape) in the order of `names`, with zeros in the gaps."""
        pieces = []
        ends = (*self.starts[1:], self.size)
        for tensor, shape, start, end in zip(tensors, self.shapes, self.starts, ends, strict=True):
            rows = tensor.shape[: tensor.ndim - len(shape)]
            pieces.append(tensor.reshape((*rows, math.prod(shape))))
            if gap := end - start - math.prod(shape):
                pieces.append(tensor.new_zeros((*rows, gap)))
        return torch.cat(pieces, dim=-1)


@dataclass(frozen=True)
class FlatState:
    """`weights`, first moments and second moments, each (layout.size,)."""

    layout: Layout
    weights: Tensor
    first: Tensor
    second: Tensor

    @classmethod
    @torch.no_grad()
    def adopt(cls, model: Transformer, optimizer: torch.optim.Optimizer) -> FlatState:
        """Move a model's parameters and its optimizer's moments (zeros before the first step) into vectors."""
        layout = Layout.of(model)
        parameters = dict(model.named_parameters())
        ordered = [parameters[name] for name in layout.names]
        assert len({(p.dtype, p.device) for p in ordered}) == 1, "a compiled step takes one dtype and one device"
        weights = layout.join([p.detach() for p in ordered])
        moments = [
            layout.join([optimizer.state.get(p, {}).get(key, torch.zeros_like(p)) for p in ordered])
            for key in ("exp_avg", "exp_avg_sq")
        ]
        state = cls(layout, weights, *moments)
        views = (layout.slices(vector) for vector in (weights, *moments))
        for p, weight, first, second in zip(ordered, *(v.values() for v in views), strict=True):
            p.data = weight
            optimizer.state[p] = {"step": torch.tensor(0.0), "exp_avg": first, "exp_avg_sq": second}
        return state
