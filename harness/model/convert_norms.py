"""Pre-LayerNorm -> Pre-RMSNorm -> Pre-CRMSNorm: other norms, the same function (Jiang et al. 2023, arXiv:2305.14858).

    rms = to_rms(model)           # norm=layer residual=pre -> norm=rms, equal logits
    crms = to_crms(model)         # ... -> norm=crms, one residual dimension fewer, equal logits
    rms = to_trainable_rms(model) # norm=rms that also trains as `model` does

1. Fold the affine part of each norm, N(x) = gain * n(x) + shift, into the matrices that read it:
   W (gain * n + shift) + b = (W diag(gain)) n + (b + W shift). A tied head is untied before.
2. Centre all that is written to the residual stream h (embeddings, attention and ffn outputs). Each reader
   sees h through LayerNorm, which ignores the mean of h, so logits stay; and now mean(h) = 0, where
   LayerNorm(h) = RMSNorm(h).
3. The last entry of h is minus the sum of the others, z, so it need not be kept: with W = [W_z, w_last],
   W h = (W_z - w_last) z, and CRMSNorm(z) is RMSNorm(h) without its last entry.

Swapping the class alone is a different model: the exactness is in the matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from harness.model.build import shape_of
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, Spec
from variants import registry
from variants.errors import UserError
from variants.slots import Position

READERS = ("q", "k", "v", "gate", "up", "router")
"""Modules of a layer whose last dimension reads the normalised residual stream."""

WRITERS = ("out", "down")
"""Modules of a layer whose output, the last dimension but one, is added to the residual stream."""

INNER = ("conv",)
"""Modules with parameters that see neither."""

Weights = dict[str, Tensor]


def to_rms(model: Transformer) -> Transformer:
    """A new model with norm=rms and the logits of `model`, which has norm=layer and residual=pre.

    The new one has an untied head, and biases where a shift was folded into them, on the head too.

    Raises:
        UserError: a part of the model is not covered by the equivalence.
    """
    check_convertible(model, "layer")
    weights = copy_weights(model)
    for norm, readers in readings(model):
        fold_affine(weights, norm, readers)
    for name, dim in writings(model):
        weights[name] = on_stream(centre, weights[name], dim, model.spec.d_model)
    spec = model.spec.replace(norm=norm_choice("rms", eps_of(model)), tied_head=False)
    return assemble(model, spec, weights)


def to_crms(model: Transformer) -> Transformer:
    """A new model with norm=crms, d_model one less, and the logits of `model`.

    `model` has residual=pre and norm=layer, or norm=rms with a zero-mean residual stream, as `to_rms` makes it.

    Raises:
        UserError: a part of the model is not covered by the equivalence.
    """
    model = to_rms(model) if model.spec.norm.variant == "layer" else model
    check_convertible(model, "rms")
    weights = copy_weights(model)
    _check_centred(model, weights)
    for norm, readers in readings(model):
        fold_affine(weights, norm, readers)
        for reader in readers:
            matrix = weights[f"{reader}.weight"]
            weights[f"{reader}.weight"] = matrix[..., :-1] - matrix[..., -1:]
    for name, dim in writings(model):
        weights[name] = on_stream(drop_last, weights[name], dim, model.spec.d_model)
    shape = shape_of(model.spec)
    spec = model.spec.replace(
        norm=norm_choice("crms", eps_of(model)),
        tied_head=False,
        d_model=shape.d_model - 1,
        d_head=shape.d_head,
        d_ff=shape.d_ff,
    )
    return assemble(model, spec, weights)


class ZeroMean(nn.Module):
    """W -> W centred along the residual stream, in each forward."""

    def __init__(self, dim: int, d_model: int) -> None:
        super().__init__()
        self.dim, self.d_model = dim, d_model

    def forward(self, weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return on_stream(centre, weight, self.dim, self.d_model)


def to_trainable_rms(model: Transformer) -> Transformer:
    """A new model with norm=rms that has the logits of `model` now and after any training of both.

    The parameters are those of `model`; what writes to the residual stream is centred in each forward.
    The loss of `model` does not change along the mean of the stream, so that the gradient of every raw matrix has
    zero column mean already and both models see the same one, whatever optimizer follows. A centred
    matrix as the parameter would not do: weight decay and Adam treat it otherwise.

    Raises:
        UserError: a part of the model is not covered by the equivalence, or its norms have a shift, which
            norm=rms cannot train.
    """
    check_convertible(model, "layer")
    final_norm = cast("Any", model.final_norm)
    if final_norm.weight is None or final_norm.bias is not None:
        raise UserError(
            "to_trainable_rms trains a gain and no shift, as norm=rms has; set norm.weight=true norm.bias=false"
        )
    spec = model.spec.replace(norm=norm_choice("rms", eps_of(model)))
    new = assemble(model, spec, copy_weights(model))
    for name, dim in list(writings(new)):
        path, _, leaf = name.rpartition(".")
        parametrize.register_parametrization(new.get_submodule(path), leaf, ZeroMean(dim, model.spec.d_model))
    return new


def check_convertible(model: Transformer, norm: str) -> None:
    """Refuse by name what the equivalence does not cover."""
    spec = model.spec
    rules = {slot for rule in spec.layer_rules for slot, _ in rule.choices}
    if (spec.norm.variant, spec.residual.variant) != (norm, "pre") or rules & {"norm", "residual"}:
        raise UserError(
            f"this conversion needs norm={norm} residual=pre in every layer, "
            f"got norm={spec.norm.variant} residual={spec.residual.variant}"
        )
    if spec.position.variant != "learned" and type(model.position).embed is not Position.embed:
        raise UserError(f"position={spec.position.variant} adds a vector that cannot be centred; convert another model")
    for i, layer in enumerate(model.layers):
        for path, module in parts(layer):
            if isinstance(module, type(model.final_norm)):
                raise UserError(f"layers.{i}.{path} is a norm inside a sub-layer; its input is not the residual stream")
            owns = any(True for _ in module.parameters(recurse=False))
            if owns and path.rpartition(".")[2] not in (*READERS, *WRITERS, *INNER):
                raise UserError(
                    f"layers.{i}.{path} is unknown to the conversion of norms; it knows {READERS + WRITERS}"
                )


def parts(layer: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules inside a layer's attention and ffn, with their paths below the layer."""
    for slot in ("attention", "ffn"):
        yield from ((f"{slot}.{path}", m) for path, m in layer.get_submodule(slot).named_modules() if path)


def readings(model: Transformer) -> Iterator[tuple[str, list[str]]]:
    """Each norm of the residual stream with the modules that read its output."""
    for i, layer in enumerate(model.layers):
        for slot in ("attention", "ffn"):
            readers = [p for p, _ in parts(layer) if p.startswith(slot) and p.rpartition(".")[2] in READERS]
            yield f"layers.{i}.residual.{slot}_norm", [f"layers.{i}.{path}" for path in readers]
    yield "final_norm", ["head"]


def writings(model: Transformer) -> Iterator[tuple[str, int]]:
    """Each parameter that is written to the residual stream, with the dimension of the stream."""
    yield "embedding.weight", -1
    if model.spec.position.variant == "learned":
        yield "position.table.weight", -1
    for i, layer in enumerate(model.layers):
        for path, module in parts(layer):
            if path.rpartition(".")[2] in WRITERS:
                for name, _ in module.named_parameters(recurse=False):
                    yield f"layers.{i}.{path}.{name}", -2 if name == "weight" else -1


def on_stream(change: Callable[[Tensor], Tensor], weight: Tensor, dim: int, d_model: int) -> Tensor:
    """`change`, which works on the last dimension, done along the residual stream.

    `dim` is -2 for a matrix of outputs, -1 for vectors, which may stand one behind the other as experts' biases do.
    """
    if dim == -2:
        return change(weight.mT).mT
    return change(weight.unflatten(-1, (-1, d_model))).flatten(-2)


def centre(rows: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
    return rows - rows.mean(-1, keepdim=True)


def drop_last(rows: Float[Tensor, "... d_model"]) -> Float[Tensor, "... less"]:
    return rows[..., :-1]


def copy_weights(model: Transformer) -> Weights:
    """Parameters and buffers by name; a tied matrix twice, which unties it."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def fold_affine(weights: Weights, norm: str, readers: list[str]) -> None:
    """Move the gain and the shift of a norm into its readers, in place; the norm's own entries are removed."""
    gain, shift = weights.pop(f"{norm}.weight", None), weights.pop(f"{norm}.bias", None)
    for reader in readers:
        matrix = weights[f"{reader}.weight"]  # (..., fan_out, d_model)
        if shift is not None and shift.any():
            weights[f"{reader}.bias"] = weights.get(f"{reader}.bias", 0) + (matrix @ shift).flatten()
        if gain is not None:
            weights[f"{reader}.weight"] = matrix * gain


def assemble(model: Transformer, spec: Spec, weights: Weights) -> Transformer:
    """A transformer of `spec` with these weights; what they lack are gains of 1 and biases of 0.

    Raises:
        UserError: a bias is needed where the variant has none.
    """
    shifted = any(name.endswith(".bias") and name != "head.bias" for name in weights.keys() - model.state_dict().keys())
    like = model.embedding.weight
    with torch.random.fork_rng(devices=[]):  # the constructor's draws are overwritten
        new = Transformer(spec.replace(bias=spec.bias or shifted), seed=None).to(like.device, like.dtype)
        if "head.bias" in weights:
            new.head = nn.Linear(spec.d_model, spec.vocab_size).to(like.device, like.dtype)
    target = new.state_dict()
    for name in sorted(weights.keys() - target.keys()):
        raise UserError(f"folding the norm's shift needs {name}, which the variant does not have; set norm.bias=false")
    for name, tensor in target.items():
        if name in weights:
            assert weights[name].shape == tensor.shape, (name, weights[name].shape, tensor.shape)
            tensor.copy_(weights[name])
        elif name.endswith(".bias"):
            tensor.zero_()
        else:
            assert "norm" in name, name
            tensor.fill_(1.0)
    return new.train(model.training)


def norm_choice(name: str, eps: float) -> Choice:
    """The choice of a norm with this eps; a default is left out, as everywhere."""
    default = registry.options("norm", name)["eps"].default
    return Choice(name) if eps == default else Choice(name, (("eps", eps),))


def eps_of(model: Transformer) -> float:
    return cast("Any", model.final_norm).eps


def _check_centred(model: Transformer, weights: Weights) -> None:
    for name, dim in writings(model):
        centred = on_stream(centre, weights[name], dim, model.spec.d_model)
        if (centred - weights[name]).abs().max() > 1e-5 * centred.abs().max():  # fp32 rounds at 1e-7; assumption
            raise UserError(f"{name} is not centred, so the residual stream is not of zero mean; start from norm=layer")
