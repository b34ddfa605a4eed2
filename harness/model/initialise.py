"""The one initialisation. Values depend on the seed and the parameter's own name and nothing else, so a
tensor that two arms share starts with the same bits in both.

| role      | distribution                | reason                                                        |
|-----------|-----------------------------|---------------------------------------------------------------|
| embedding | N(0, 1/d_model)             | a tied head then starts with logits of unit variance          |
| input     | N(0, 1/fan_in)              | keeps variance at any width (LeCun 1998)                      |
| output    | N(0, 1/(fan_in 2 n_layers)) | the residual stream keeps unit variance at any depth (GPT-2)  |
| router    | N(0, 1/fan_in)              | as input                                                      |
| conv      | U(-1/sqrt(k), 1/sqrt(k))    | torch's default for a depthwise kernel of k tokens            |
| constant  | what the constructor wrote  | gains 1, tables and kernels with a defined start              |

Biases of linear layers start at 0.

No standard deviation is fixed (GPT-2's is 0.02 at every width): a start that ignores width favours whichever variant
happens to suit it, and at small widths that decides the verdict.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from variants.errors import UserError
from variants.slots import Role

if TYPE_CHECKING:
    from harness.model.transformer import Transformer


def initialise(model: Transformer, seed: int) -> None:
    """Draw every initial value of `model` in place.

    Raises:
        UserError: a module owns a matrix and declares no role.
    """
    drawn: set[int] = set()
    for prefix, module in model.named_modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)  # torch's constructor drew it from the global generator
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim < 2 or id(parameter) in drawn:
                continue
            drawn.add(id(parameter))  # a tied matrix is drawn once, as its first owner
            path = f"{prefix}.{name}"
            draw(parameter, role_of(module, path), model.spec.n_layers, generator_for(seed, path))


def role_of(module: nn.Module, path: str) -> Role:
    """The role of a module's matrices; a plain nn.Linear reads, so it is an input."""
    role = getattr(module, "role", "input" if isinstance(module, nn.Linear) else None)
    if role is None:
        raise UserError(
            f"{path} has two or more dimensions and {type(module).__name__} declares no role; "
            "set `role` on the class (see variants/slots.py)"
        )
    return cast("Role", role)


def generator_for(seed: int, name: str) -> torch.Generator:
    """A generator keyed by the seed and a parameter's name."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@torch.no_grad()
def draw(parameter: Tensor, role: Role, n_layers: int, generator: torch.Generator) -> None:
    """Fill one matrix by its role; fan_in is the last dimension."""
    fan_in = parameter.shape[-1]
    if role == "constant":
        return
    if role == "conv":
        bound = 1 / math.sqrt(fan_in)
        parameter.uniform_(-bound, bound, generator=generator)
        return
    variance = 1 / (fan_in * 2 * n_layers) if role == "output" else 1 / fan_in
    parameter.normal_(0.0, math.sqrt(variance), generator=generator)
