"""AdamW with two groups: matrices and embeddings decay; gains, biases, tables and conv kernels do not."""

from __future__ import annotations

import torch
from torch import nn

from harness.model.initialise import role_of
from harness.spec.recipe import Recipe

DECAYED = ("embedding", "input", "output", "router")
"""Roles whose matrices decay (variants/slots.py). A `constant` or `conv` matrix is a table or a kernel: it does not."""


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over every parameter of `model`, each in exactly one group; one fused kernel a group."""
    decayed, rest = parameter_groups(model)
    groups = [
        {"params": [p for _, p in decayed], "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in rest], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=recipe.lr, betas=(recipe.beta1, recipe.beta2), fused=True
    )


def parameter_groups(model: nn.Module) -> tuple[list[tuple[str, nn.Parameter]], list[tuple[str, nn.Parameter]]]:
    """(decayed, not decayed) parameters with their names, in the model's order."""
    decayed, rest, seen = [], [], set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            path = f"{prefix}.{name}" if prefix else name
            decays = parameter.ndim >= 2 and role_of(module, path) in DECAYED
            (decayed if decays else rest).append((path, parameter))
    return decayed, rest
