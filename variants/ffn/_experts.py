"""Expert FFNs with stacked matrices, and the way tokens travel to the experts they chose and back.

No mask is looped over: the visits are sorted by expert, each expert runs once on its slice, and the results are
gathered back by the inverse permutation (MegaBlocks' dropless dispatch; Gale et al. 2022, arXiv:2211.15841). Nothing
is added by atomics, so the same seed gives the same bits on a GPU too. In bf16 on a GPU all experts are one grouped
product, and the slices' lengths never leave the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from variants.slots import Activation, Flops, MakeActivation, Role, Shape


class ExpertLinear(nn.Module):
    """y = W_i x (+ b_i), one matrix an expert: weight (num_experts, fan_out, fan_in).

    `bias` is kept flat, (num_experts * fan_out): one dimension, so it starts at zero and does not decay.
    """

    counted_by_parent = True  # how many tokens come is the parent's to know

    def __init__(self, num_experts: int, fan_in: int, fan_out: int, *, bias: bool, role: Role = "input") -> None:
        super().__init__()
        self.role: Role = role
        self.weight = nn.Parameter(torch.empty(num_experts, fan_out, fan_in))
        self.bias = nn.Parameter(torch.zeros(num_experts * fan_out)) if bias else None

    def each(self) -> list[tuple[Tensor, Tensor | None]]:
        """(W_i, b_i) of every expert; unbound at once, so that the backward stacks the gradients once."""
        weights = self.weight.unbind(0)
        if self.bias is None:
            return [(weight, None) for weight in weights]
        return list(zip(weights, self.bias.view(len(weights), -1).unbind(0), strict=True))


class Experts(nn.Module):
    """num_experts FFNs of width d_ff: W_down act(W_up x), or gated W_down act(W_gate x, W_up x)."""

    def __init__(self, shape: Shape, make_activation: MakeActivation, num_experts: int) -> None:
        super().__init__()
        d, d_ff = shape.d_model, shape.d_ff
        self.shape, self.num_experts = shape, num_experts
        self.activation = make_activation()
        gated = cast("Activation", self.activation).num_projections == 2
        self.gate = ExpertLinear(num_experts, d, d_ff, bias=shape.bias) if gated else None
        self.up = ExpertLinear(num_experts, d, d_ff, bias=shape.bias)
        self.down = ExpertLinear(num_experts, d_ff, d, bias=shape.bias, role="output")

    def run(self, rows: Sequence[Tensor]) -> list[Tensor]:
        """Each expert on its own rows; (n_i, d_model) in and out."""
        into = (self.up,) if self.gate is None else (self.gate, self.up)
        outputs = []
        for x, down, *projections in zip(rows, self.down.each(), *(m.each() for m in into), strict=True):
            if len(x) == 0:  # nobody came: left out of the graph, and the gradient is zero
                outputs.append(x)
                continue
            hidden = self.activation(*(F.linear(x, *p) for p in projections))
            outputs.append(F.linear(hidden, *down))
        return outputs

    def mix(
        self,
        tokens: Float[Tensor, "tokens d_model"],
        weights: Float[Tensor, "tokens top_k"],
        chosen: Int[Tensor, "tokens top_k"],
    ) -> tuple[Float[Tensor, "tokens d_model"], Int[Tensor, "experts_and_nobody"]]:
        """y_n = sum_j weights[n, j] FFN_chosen[n, j](tokens[n]), and how many visits each expert had.

        The choice `num_experts` stands for nobody: such a visit adds nothing and is counted in the last place.
        """
        visits = chosen.flatten()
        order, places, load = by_expert(visits, self.num_experts + 1)
        visitor, at = order // chosen.shape[1], places.view_as(chosen)
        if self.can_group(tokens):
            rows = cast("Tensor", _ToVisits.apply(tokens.to(dtype_of_products(tokens)), visitor, at))
            weights = weights.where(chosen < self.num_experts, 0).to(rows.dtype)
            outputs = self.run_grouped(rows, visits[order], load) * _reordered(weights, order, places)
        else:
            rows = cast("Tensor", _ToVisits.apply(tokens, visitor, at))
            outputs = self._run_each(rows, _reordered(weights, order, places), load)
        return cast("Tensor", _FromVisits.apply(outputs, visitor, at)), load

    def _run_each(self, rows: Tensor, shares: Tensor, load: Tensor) -> Tensor:
        """The experts one after another, each on its slice times its shares, and zeros for those nobody takes."""
        sizes = load.tolist()  # the one wait for the device
        *taken, dropped = rows.split(sizes)
        outputs = [y * share for y, share in zip(self.run(taken), shares.split(sizes), strict=False) if len(y)]
        if len(dropped):
            outputs.append(torch.zeros_like(dropped, dtype=outputs[0].dtype if outputs else rows.dtype))
        return torch.cat(outputs)

    def can_group(self, tokens: Tensor) -> bool:
        """Whether torch's grouped product takes the experts: bf16 on a GPU, rows of a multiple of 16 bytes."""
        return (
            tokens.is_cuda
            and dtype_of_products(tokens) == torch.bfloat16
            and not (self.shape.d_model % 8 or self.shape.d_ff % 8)
        )

    def run_grouped(
        self,
        rows: Float[Tensor, "visits d_model"],
        experts: Int[Tensor, "visits"],
        load: Int[Tensor, "experts_and_nobody"],
    ) -> Float[Tensor, "visits d_model"]:
        """`run` of all experts at once on rows sorted by expert, of which `load` says how many each one has.

        The rows that nobody takes come last and go through the last expert: the caller multiplies them with 0.
        """
        dtype, last = dtype_of_products(rows), self.num_experts - 1
        until = torch.cat((load[:last].cumsum(0), load.new_full((1,), len(rows)))).int()

        def project(matrices: ExpertLinear, x: Tensor) -> Tensor:
            y = F.grouped_mm(x, matrices.weight.to(dtype).transpose(1, 2), offs=until)
            if matrices.bias is None:
                return y
            mine = experts.clamp(max=last)[:, None] == torch.arange(self.num_experts, device=rows.device)
            return torch.addmm(y, mine.to(dtype), matrices.bias.view(self.num_experts, -1).to(dtype))

        into = (self.up,) if self.gate is None else (self.gate, self.up)
        with torch.autocast(rows.device.type, enabled=False):
            x = rows.to(dtype)
            return project(self.down, self.activation(*(project(m, x) for m in into)))

    def expert_flops(self, visits: float) -> Flops:
        """Of one token that visits `visits` experts; the router's own are counted by its Linear."""
        matrices, units = 2 if self.gate is None else 3, visits * self.shape.d_ff
        return Flops(
            matmul=2.0 * matrices * self.shape.d_model * units,
            activation=units * cast("Activation", self.activation).flops_per_unit,
        )

    def params_per_expert(self) -> int:
        stacks = [m for m in (self.gate, self.up, self.down) if m is not None]
        return sum(p.numel() for m in stacks for p in m.parameters()) // self.num_experts


def dtype_of_products(x: Tensor) -> torch.dtype:
    """In which numbers a product of `x` is taken here: its own, or autocast's."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


Order = tuple[Int[Tensor, "visits"], Int[Tensor, "visits"], Int[Tensor, "experts"]]
"""The stable permutation that sorts visits by expert, its inverse, and how many visits each expert has."""


def by_expert(visits: Int[Tensor, "visits"], num_experts: int) -> Order:
    """By torch's sort on a CPU, where counting takes two to four times as long, and on a GPU by counting."""
    return (counted if visits.is_cuda else sorted_by_torch)(visits, num_experts)


def sorted_by_torch(visits: Int[Tensor, "visits"], num_experts: int) -> Order:
    experts, order = visits.int().sort(stable=True)
    ends = torch.searchsorted(experts, torch.arange(num_experts, device=visits.device), right=True)
    places = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    return order, places, ends.diff(prepend=ends.new_zeros(1))


def counted(visits: Int[Tensor, "visits"], num_experts: int) -> Order:
    """A visit's place is the number of visits to experts before its own, and to its own before it. No scatter inverts
    that, because torch's deterministic ones sort on a GPU: a place's visit is where the count reaches it.
    """
    num_visits, here = len(visits), torch.arange(len(visits), device=visits.device)
    is_to = visits == torch.arange(num_experts, device=visits.device)[:, None]  # (experts, visits)
    count = is_to.flatten().cumsum(0, dtype=torch.int32)  # of visits to experts before, and to this one up to here
    places = count[visits * num_visits + here].long() - 1
    order = torch.searchsorted(count, here.int() + 1) % num_visits
    return order, places, count[num_visits - 1 :: num_visits].long().diff(prepend=places.new_zeros(1))


def _reordered(weights: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """(visits, 1): the weights of the visits as `order` has them."""
    return cast("Tensor", _Reordered.apply(weights.flatten(), order, inverse))[:, None]


class _Reordered(torch.autograd.Function):
    """y = x[order]; the gradient comes back through the inverse, where torch would add, and for that sort."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grads[0].index_select(0, inverse), None, None


class _ToVisits(torch.autograd.Function):
    """rows[v] = tokens[visitor[v]]; backward is `_FromVisits`, as the two matrices are each other's transpose.

    `visitor` (visits,) is the token of a visit, `places` (tokens, top_k) where a token's visits stand.
    """

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, visitor: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return tokens.index_select(0, visitor)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return F.embedding_bag(places, grads[0], mode="sum"), None, None


class _FromVisits(torch.autograd.Function):
    """tokens[n] = sum_j rows[places[n, j]], in the order of j; backward is `_ToVisits`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, visitor: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(visitor)
        return F.embedding_bag(places, rows, mode="sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (visitor,) = ctx.saved_tensors
        return grads[0].index_select(0, visitor), None, None
