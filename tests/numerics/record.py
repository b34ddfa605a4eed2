"""The numbers of a short deterministic training run: every step's loss, and a print of everything within step 0.

Prints are taken in the order in which things are computed: what each module gives, a module's parts before itself, and
then each parameter's gradient. The first that differs is where a change of numbers began.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.batches import Batches
from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.device import prepare_process
from harness.train.trainer import train
from tests.numerics.families import VOCAB_SIZE
from variants.slots import Encoding

SIZE, SEQ_LEN, SEQUENCES, STEPS = "2x48", 64, 4, 8
"""Few steps: rounding errors grow with them, and the bound for another machine with it (docs/numerics.md)."""

RECIPE = Recipe(tokens_per_step=SEQ_LEN * SEQUENCES)


@dataclass(frozen=True)
class Print:
    """`digest` of the bits of a tensor, and `size`, the root of its mean square, for machines with other bits."""

    name: str
    digest: str
    size: float


@dataclass(frozen=True)
class Numbers:
    """`losses` (steps,) in nats per token, fp32; `prints` of step 0 in the order of computation."""

    losses: tuple[float, ...]
    prints: tuple[Print, ...]


def numbers_of(spec: Spec) -> Numbers:
    """Train a spec for `STEPS` steps on one thread with deterministic kernels, as a worker does."""
    with as_in_a_worker(), tempfile.TemporaryDirectory() as folder:
        training = train(Transformer(spec, seed=0), batches(), RECIPE, STEPS, folder=Path(folder))
        assert training.status == "finished", training.reason
        return Numbers(tuple(training.losses.tolist()), tuple(prints_of(spec)))


def batches() -> Batches:
    """Made-up tokens that can be learned: by a formula of whole numbers, alike on every machine."""
    i = np.arange(20_000)
    return Batches((i * i + i // 7) % VOCAB_SIZE, SEQ_LEN, SEQUENCES, seed=0)


def prints_of(spec: Spec) -> list[Print]:
    """Step 0 once more, with an eye on every module and every gradient."""
    model, found = Transformer(spec, seed=0).train(), Prints()
    found.watch(model)
    loss = model.loss(*batches().batch(0))
    found.take("loss", loss)
    (loss + model.auxiliary_loss()).backward()
    return found.taken


class Prints:
    """Takes prints; what is computed several times is numbered from the second on."""

    def __init__(self) -> None:
        self.taken: list[Print] = []
        self._calls: Counter[str] = Counter()

    def take(self, name: str, x: Tensor) -> None:
        self._calls[name] += 1
        x = x.detach().contiguous()
        digest = hashlib.sha256(x.numpy().tobytes()).hexdigest()[:12]
        number = f" ({self._calls[name]})" if self._calls[name] > 1 else ""
        size = float(f"{x.double().square().mean().sqrt():.6g}") if x.numel() else 0.0
        self.taken.append(Print(f"{name}{number}", digest, size))

    def watch(self, model: Transformer) -> None:
        """Take a print of whatever modules give, of the position variant's three hooks, and of gradients."""
        for name, module in model.named_modules():
            module.register_forward_hook(self._hook(name or "model"))
        for name, parameter in model.named_parameters():
            parameter.register_post_accumulate_grad_hook(self._gradient(name))
        position: Any = model.position  # it is asked, and not called as a module is
        embed, encode = position.embed, position.encode
        position.embed = lambda x, positions: self._seen("position.embed", embed(x, positions))
        position.encode = lambda positions, num_keys: self._encoding(encode(positions, num_keys))

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def take(module: nn.Module, inputs: Any, output: Any) -> None:
            for x in output if isinstance(output, tuple) else (output,):
                if isinstance(x, Tensor):
                    self.take(name, x)

        return take

    def _gradient(self, name: str) -> Callable[[Tensor], None]:
        def take(parameter: Tensor) -> None:
            assert parameter.grad is not None
            self.take(f"gradient of {name}", parameter.grad)

        return take

    def _encoding(self, encoding: Encoding) -> Encoding:
        if encoding.bias is not None:
            self.take("position.bias", encoding.bias)
        rotate = encoding.rotate
        if rotate is None:
            return encoding
        return dataclasses.replace(encoding, rotate=lambda x: self._seen("position.rotate", rotate(x)))

    def _seen(self, name: str, x: Tensor) -> Tensor:
        self.take(name, x)
        return x


@contextmanager
def as_in_a_worker() -> Iterator[None]:
    """One thread and deterministic kernels, and afterwards what there was."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    kernels = cast("Any", sys.modules["torch.utils.deterministic"])  # a module whose only names are properties
    filled = kernels.fill_uninitialized_memory
    prepare_process(torch.device("cpu"))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        kernels.fill_uninitialized_memory = filled
