"""What else differs between two arms? Everything a reader would have to check by hand, found by machine, as data.

    audit(baseline, arm, parameter_groups).to_json()

Only differences are listed, each as [baseline, arm]. `parameter_groups` is the trainer's (harness.train.optimizer),
handed in because a plan does not know the trainer.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from harness.model.initialise import role_of
from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.plan.part_cost import by_kind
from harness.plan.parts import parts
from harness.spec.spec import Spec

Groups = Callable[[nn.Module], tuple[list[tuple[str, nn.Parameter]], list[tuple[str, nn.Parameter]]]]
"""(decayed, not decayed) named parameters of a model."""

Pair = list[Any]

PROBE_TOKENS = 16
"""Length of the text on which the operators are listed. Assumption: longer texts use the same ones."""


@dataclass(frozen=True)
class Tensors:
    """One parameter: its shape, role, how it starts, and whether weight decay acts on it."""

    shape: tuple[int, ...]
    role: str
    start: str
    decays: bool


@dataclass(frozen=True)
class Audit:
    """The differences of two arms; every value is [baseline, arm], absent where they agree.

    `shared` counts the parameters that start with the same bits: same name, shape and start.
    """

    choices: dict[str, Pair]  # slots, options, model options, d_ff
    parameters: dict[str, Pair]  # name: what `Tensors` says, None where there is no such parameter
    params_by_role: dict[str, Pair]
    start_by_role: dict[str, Pair]  # the distributions, with how many tensors have each
    decayed_params: Pair
    biases: Pair  # vectors named bias
    shared: int
    flops_by_kind: dict[str, Pair]  # forward, per token
    operators: dict[str, Pair] | None  # calls of each torch operator in one forward and backward pass; None: not run

    def to_json(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def audit(baseline: Spec, arm: Spec, parameter_groups: Groups, *, run: bool = True) -> Audit:
    """Compare two arms at the widths their specs have.

    Args:
        run: whether to run both once to list their operators; without it nothing is allocated.
    """
    ours, theirs = (tensors_of(spec, parameter_groups) for spec in (baseline, arm))
    names = dict.fromkeys([*ours, *theirs])
    same = [n for n in names if n in ours and n in theirs and ours[n] == theirs[n]]
    sides = (ours.values(), theirs.values())
    return Audit(
        choices=_differences(*(_choices(spec) for spec in (baseline, arm))),
        parameters={n: [_said(ours.get(n)), _said(theirs.get(n))] for n in names if n not in same},
        params_by_role=_differences(*(_sum_by_role(side) for side in sides)),
        start_by_role=_differences(*(_starts_by_role(side) for side in sides)),
        decayed_params=[sum(_size(t) for t in side if t.decays) for side in sides],
        biases=[sum(n.endswith("bias") for n in tensors) for tensors in (ours, theirs)],
        shared=sum(_size(ours[n]) for n in same),
        flops_by_kind=_differences(*(by_kind(count(spec).flops) for spec in (baseline, arm))),
        operators=_differences(operators(baseline), operators(arm)) if run else None,
    )


@lru_cache(maxsize=64)  # the baseline is one side of every audit of a study
def tensors_of(spec: Spec, parameter_groups: Groups) -> Mapping[str, Tensors]:
    """Every parameter of a spec's model by name, a tied one once."""
    found: dict[str, Tensors] = {}
    for at, part in parts(spec):
        if at == "head" and spec.tied_head:
            continue
        prefix, dot, name = at.rpartition(".")
        inside = _tensors_of_part(part, name, spec.n_layers, parameter_groups)
        found |= {prefix + dot + path: tensors for path, tensors in inside}
    return found


@lru_cache(maxsize=4096)  # as many parts as the ledger keeps the cost of
def _tensors_of_part(
    part: nn.Module, name: str, n_layers: int, parameter_groups: Groups
) -> tuple[tuple[str, Tensors], ...]:
    """Every parameter of a part called `name`: the trainer judges each by its own module, and so part by part."""
    decayed = {path for path, _ in parameter_groups(part)[0]}
    found = []
    for prefix, module in part.named_modules():
        for own, parameter in module.named_parameters(recurse=False):
            path = f"{prefix}.{own}" if prefix else own
            role = role_of(module, f"{name}.{path}") if parameter.ndim > 1 else "vector"
            shape = tuple(parameter.shape)
            found.append((f"{name}.{path}", Tensors(shape, role, start_of(role, shape, n_layers), path in decayed)))
    return tuple(found)


def start_of(role: str, shape: tuple[int, ...], n_layers: int) -> str:
    """The distribution of the initial values, in words (harness/model/initialise.py draws them)."""
    fan_in = shape[-1] if shape else 1
    if role == "vector" or role == "constant":
        return "as constructed"
    if role == "conv":
        return f"U(+-{fan_in**-0.5:.4g})"
    return f"N(0, {(fan_in * (2 * n_layers if role == 'output' else 1)) ** -0.5:.4g}^2)"


@lru_cache(maxsize=64)
def operators(spec: Spec) -> Mapping[str, int]:
    """How often each torch operator runs in a forward and backward pass over a short text, on the CPU."""
    short = min(spec.seq_len, PROBE_TOKENS)
    model = Transformer(spec, seed=0)
    tokens = torch.randint(spec.vocab_size, (1, short + 1), generator=torch.Generator().manual_seed(0))
    with _Calls() as calls:
        loss = model.loss(tokens[:, :-1], tokens[:, 1:]) + model.auxiliary_loss()
        loss.backward()
    return dict(calls.counts)


class _Calls(TorchDispatchMode):
    """Counts the operators that run inside it, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def _choices(spec: Spec) -> dict[str, Any]:
    data = spec.to_json()
    flat: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            flat[name] = value["variant"]
            flat |= {f"{name}.{option}": setting for option, setting in value["options"].items()}
        else:
            flat[name] = value
    return flat


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Pair]:
    names = dict.fromkeys([*ours, *theirs])
    return {n: [ours.get(n), theirs.get(n)] for n in names if ours.get(n) != theirs.get(n)}


def _sum_by_role(tensors: Any) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for tensor in tensors:
        sums[tensor.role] += _size(tensor)
    return dict(sums)


def _starts_by_role(tensors: Any) -> dict[str, dict[str, int]]:
    starts: dict[str, Counter[str]] = {}
    for tensor in tensors:
        starts.setdefault(tensor.role, Counter())[tensor.start] += 1
    return {role: dict(counts) for role, counts in starts.items()}


def _size(tensor: Tensors) -> int:
    return torch.Size(tensor.shape).numel()


def _said(tensor: Tensors | None) -> dict[str, Any] | None:
    return None if tensor is None else dataclasses.asdict(tensor) | {"shape": list(tensor.shape)}
