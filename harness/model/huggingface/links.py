"""Which tensors of ours say the same as which tensors of theirs, and how one becomes the other, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from variants.errors import UserError

Convert = Callable[[list[Tensor]], list[Tensor]]

IGNORED = ("inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias")
"""Ends of names that old checkpoints carry for tables and masks; they hold nothing that was learned."""


@dataclass(frozen=True)
class Link:
    """`write` turns the tensors named `ours` into those named `theirs`; `read` is its inverse."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    write: Convert
    read: Convert


def same(ours: str, theirs: str) -> Link:
    return Link((ours,), (theirs,), list, list)


def transposed(ours: str, theirs: str) -> Link:
    """A matrix that is kept (fan_in, fan_out), as in GPT-2's Conv1D."""

    def flip(tensors: list[Tensor]) -> list[Tensor]:
        return [t.T.contiguous() if t.ndim == 2 else t for t in tensors]

    return Link((ours,), (theirs,), flip, flip)


def less_one(ours: str, theirs: str) -> Link:
    """A gain that is kept as its difference from 1, as in Gemma."""
    return Link((ours,), (theirs,), lambda t: [t[0] - 1], lambda t: [t[0] + 1])


def rows(index: Tensor) -> Callable[[str, str], Link]:
    """Rows in another order: theirs[j] = ours[index[j]]."""
    back = index.argsort()
    return lambda ours, theirs: Link((ours,), (theirs,), lambda t: [t[0][index]], lambda t: [t[0][back]])


def stacked(ours: str, theirs: Sequence[str]) -> Link:
    """One tensor with a leading dimension of experts, kept as one tensor an expert."""
    return Link((ours,), tuple(theirs), lambda t: [e.contiguous() for e in t[0]], lambda t: [torch.stack(t)])


def joined(ours: Sequence[str], theirs: str, *, transpose: bool = False) -> Link:
    """Matrices one below the other, as GPT-2's q, k and v."""
    n = len(ours)

    def write(tensors: list[Tensor]) -> list[Tensor]:
        whole = torch.cat(tensors)
        return [whole.T.contiguous() if transpose and whole.ndim == 2 else whole]

    def read(tensors: list[Tensor]) -> list[Tensor]:
        whole = tensors[0].T if transpose and tensors[0].ndim == 2 else tensors[0]
        return [part.contiguous() for part in whole.chunk(n)]

    return Link(tuple(ours), (theirs,), write, read)


def joined_by_head(ours: Sequence[str], theirs: str, n_heads: int) -> Link:
    """Matrices interleaved head by head, (head, which, d_head) rows, as GPT-NeoX's q, k and v."""
    n = len(ours)

    def write(tensors: list[Tensor]) -> list[Tensor]:
        return [torch.stack([t.unflatten(0, (n_heads, -1)) for t in tensors], dim=1).flatten(0, 2)]

    def read(tensors: list[Tensor]) -> list[Tensor]:
        return [t.flatten(0, 1).contiguous() for t in tensors[0].unflatten(0, (n_heads, n, -1)).unbind(1)]

    return Link(tuple(ours), (theirs,), write, read)


class Links(list[Link]):
    """The links of one model. `module` links whichever of a module's weight and bias the model has.

    Args:
        names: of our tensors.
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.names = set(names)

    def module(self, ours: str, theirs: str, make: Callable[[str, str], Link] = same) -> None:
        for kind in ("weight", "bias"):
            if f"{ours}.{kind}" in self.names:
                self.append(make(f"{ours}.{kind}", f"{theirs}.{kind}"))

    def modules(self, ours: Sequence[str], theirs: str, make: Callable[[Sequence[str], str], Link]) -> None:
        """Several of our modules that are one of theirs."""
        for kind in ("weight", "bias"):
            if f"{ours[0]}.{kind}" in self.names:
                self.append(make([f"{o}.{kind}" for o in ours], f"{theirs}.{kind}"))

    def to_theirs(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Our tensors as theirs."""
        linked = {name for link in self for name in link.ours}
        assert linked == self.names, sorted(linked ^ self.names)
        return {
            name: tensor.contiguous()
            for link in self
            for name, tensor in zip(link.theirs, link.write([state[n] for n in link.ours]), strict=True)
        }

    def to_ours(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Their tensors as ours.

        Raises:
            UserError: the checkpoint lacks a tensor, or has one that has no place in the model.
        """
        linked = {name for link in self for name in link.theirs}
        if missing := sorted(linked - set(state)):
            raise UserError(f"the checkpoint lacks {_some(missing)}; it was cut short or is of another model")
        strange = [n for n in state if n not in linked and not n.endswith(IGNORED) and n != "lm_head.weight"]
        if strange:
            raise UserError(f"the checkpoint holds {_some(sorted(strange))}, which has no place in the model")
        return {
            name: tensor
            for link in self
            for name, tensor in zip(link.ours, link.read([state[n] for n in link.theirs]), strict=True)
        }


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
