"""The step as one compiled function: forward, backward, clipping and AdamW in a single graph.

The graph is recorded by running the step once on tensors without values (`make_fx`) and handed to `torch.compile`. It
is a function of the weights, moments, buffers and batch, and of no model, so every seed of a shape uses the same one: a
process compiles a shape once, and torch's cache on disk (TORCHINDUCTOR_CACHE_DIR, a folder of the user's) spares the
next process most of it.

A recorded graph cannot follow what depends on values, so it is used only where it is right:

- a forward that reads a tensor's value (a mixture's visits) refuses to be recorded;
- so does one that reads a tensor that is neither parameter nor buffer;
- a module whose numbers change between steps (a temperature, a counter) is found when it does;
- each compiled step is compared with an eager one, on other weights and tokens than those it was recorded with.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train.adamw import adamw
from harness.train.eager import EagerStep
from harness.train.flat import FlatState, Layout
from harness.train.optimizer import make_optimizer
from harness.train.replayed import StepFunction, replayed
from harness.train.schedule import StepScalars
from variants.errors import UserError

TOLERANCE = 1e-4
"""Largest difference from the eager step: of the loss, as a share of it, and of a moment, as a share of the largest.
Rounding in fp32 gives 1e-7 to 1e-5 (measured over the variants); a wrong formula gives more."""

CPU_OPTIONS = {"cpp_wrapper": True, "compile_threads": 1}
"""A hundred kernels called from C++ and not from Python: 10 % of the step at 2 x 48 (measured). One thread, as a
worker has: no pool of compilers outlives it."""


class CompiledStep:
    """One step of clipped AdamW, in one call. Model and optimizer stay in use: they hold views of the vectors.

    `norm` () is the norm of the last step's gradient, before it was clipped.
    """

    norm: Tensor

    def __init__(
        self,
        model: Transformer,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        num_steps: int,
        batch: tuple[Tensor, Tensor],
    ) -> None:
        self.optimizer, self.model = optimizer, model
        self.state = FlatState.adopt(model, optimizer)
        weights = self.state.weights
        self.buffers, self.scalars = list(model.buffers()), StepScalars(recipe, num_steps, weights)
        function = compiled_function(model.spec, recipe, batch[0].shape, weights.dtype, weights.device)
        self.function = replayed(function, self._arguments(batch, 0))
        self.changing = list(model.having("after_step"))
        self.numbers = plain_numbers(model)

    @torch.no_grad()
    def __call__(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        """Returns the loss in nats per token before the step."""
        loss, self.norm = self.function(*self._arguments(batch, step))
        for module in self.changing:
            cast("Any", module).after_step()
        return loss

    def _arguments(self, batch: tuple[Tensor, Tensor], step: int) -> tuple[Any, ...]:
        return (self.state.weights, self.state.first, self.state.second, self.buffers, *batch, self.scalars(step))

    def settle(self, steps_done: int) -> None:
        """Before a checkpoint: write the number of steps where AdamW keeps it, and see that the graph still holds."""
        for entry in self.optimizer.state.values():
            entry["step"].fill_(steps_done)
        check_numbers(self.numbers, self.model)


@lru_cache(maxsize=16)
def compiled_function(
    spec: Spec, recipe: Recipe, batch_shape: torch.Size, dtype: torch.dtype, device: torch.device
) -> StepFunction:
    """The compiled step of a shape, compared with the eager one before it is handed out.

    Raises:
        UserError: the step cannot be recorded, or differs from the eager one.
    """
    graph = recorded(spec, recipe, batch_shape, dtype, device)
    function = compile_graph(graph, device)
    compare_with_eager(function, spec, recipe, batch_shape, dtype, device)
    return function


def compile_graph(graph: fx.GraphModule, device: torch.device) -> StepFunction:
    """Compiled at its first call."""
    options = CPU_OPTIONS if device.type == "cpu" else None
    return cast("StepFunction", torch.compile(graph, fullgraph=True, dynamic=False, options=options))


def cannot_compile(device: torch.device) -> str | None:
    """Why nothing can be compiled on this machine, None when it can: a small function is, as a step would be.

    A compiler alone is not enough: its headers, Python's and OpenMP's may be missing. Takes 5 s, from the cache 1.
    """
    options = CPU_OPTIONS if device.type == "cpu" else None

    def probe(x: Tensor) -> Tensor:
        return (x @ x).relu().sum()

    x = torch.ones(8, 8, device=device)
    try:
        with _torch_quiet():
            made = torch.compile(probe, fullgraph=True, dynamic=False, options=options)(x)
    except Exception as error:  # whatever is missing, a compiler reports it in its own way
        lines = [line for line in str(error).splitlines() if line.strip()]
        return f"torch.compile does not work here ({type(error).__name__}: {lines[0] if lines else 'no message'})"
    return None if made.item() == probe(x).item() else "what torch.compile makes here gives another result"


def obstacle(spec: Spec, recipe: Recipe) -> str | None:
    """Why the step of a spec cannot be compiled, None when it can; found by recording it, in half a second."""
    shape = torch.Size((recipe.tokens_per_step // spec.seq_len, spec.seq_len))
    try:
        recorded(spec, recipe, shape, torch.float32, torch.device("cpu"))
    except UserError as error:
        return str(error)
    return None


def recorded(
    spec: Spec, recipe: Recipe, batch_shape: torch.Size, dtype: torch.dtype, device: torch.device
) -> fx.GraphModule:
    """The graph of a step.

    Raises:
        UserError: the forward depends on values, or on tensors that are no parameters or buffers.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # loads the compiler, which an eager run does not need

    model, arguments = example(spec, recipe, batch_shape, dtype, device, seed=0)
    layout, names = Layout.of(model), [f"model.{name}" for name, _ in model.named_buffers()]
    step = _step_of(Losses(model), layout, names, recipe)
    try:
        with _torch_quiet():
            return make_fx(step, tracing_mode="fake")(*arguments)
    except (RuntimeError, AssertionError) as error:  # how torch says: no value to read, a tensor from elsewhere
        first_line = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"a step that depends on a tensor's values, or on a tensor that is neither parameter nor buffer, cannot be "
            f"compiled ({type(error).__name__}: {first_line}); use --compile off"
        ) from error


@contextlib.contextmanager
def _torch_quiet() -> Iterator[None]:
    """What torch warns of in its own code, while it records and compiles, is not the user's to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Losses(nn.Module):
    """(tokens, targets) -> (cross-entropy, cross-entropy plus auxiliary losses)."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss = self.model.loss(tokens, targets)
        return loss, loss + self.model.auxiliary_loss()


def _step_of(losses: Losses, layout: Layout, buffer_names: list[str], recipe: Recipe) -> StepFunction:
    def step(
        weights: Tensor,
        first: Tensor,
        second: Tensor,
        buffers: list[Tensor],
        tokens: Tensor,
        targets: Tensor,
        scalars: Tensor,
    ) -> tuple[Tensor, Tensor]:
        slices = layout.slices(weights)
        parameters = {f"model.{name}": w.detach().requires_grad_() for name, w in slices.items()}
        known = {**parameters, **dict(zip(buffer_names, buffers, strict=True))}
        loss, total = functional_call(losses, known, (tokens, targets))
        grads = torch.autograd.grad(total, list(parameters.values()), allow_unused=True, materialize_grads=True)
        norm = nn.utils.get_total_norm(grads, foreach=False)  # one by one, for the compiler to join
        adamw(layout, recipe, (weights, first, second), grads, norm, scalars)
        return loss.detach(), norm

    return step


def example(
    spec: Spec, recipe: Recipe, batch_shape: torch.Size, dtype: torch.dtype, device: torch.device, *, seed: int
) -> tuple[Transformer, tuple[Any, ...]]:
    """A fresh model and arguments of its step: random tokens, moments at zero, the first step's scalars."""
    model = Transformer(spec, seed=seed).to(device=device, dtype=dtype).train()
    state = FlatState.adopt(model, make_optimizer(model, recipe))
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(spec.vocab_size, (batch_shape[0], batch_shape[1] + 1), generator=generator).to(device)
    batch = (text[:, :-1].contiguous(), text[:, 1:].contiguous())
    scalars = torch.tensor((recipe.lr, 1 - recipe.beta1, math.sqrt(1 - recipe.beta2)), dtype=dtype, device=device)
    return model, (state.weights, state.first, state.second, list(model.buffers()), *batch, scalars)


def compare_with_eager(
    function: StepFunction,
    spec: Spec,
    recipe: Recipe,
    batch_shape: torch.Size,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """One step both ways from equal weights.

    Raises:
        UserError: loss or first moments (the clipped gradient, scaled) differ, or a module's numbers changed.
    """
    _, arguments = example(spec, recipe, batch_shape, dtype, device, seed=1)
    model, (_, _, _, _, tokens, targets, _) = example(spec, recipe, batch_shape, dtype, device, seed=1)
    numbers = plain_numbers(model)
    optimizer = make_optimizer(model, recipe)
    expected = EagerStep(model, optimizer, recipe, num_steps=1)((tokens, targets), 0)
    check_numbers(numbers, model)
    with torch.no_grad(), _torch_quiet():
        loss, _ = function(*arguments)  # compiled here, at its first call
    layout, named = Layout.of(model), dict(model.named_parameters())
    moment = layout.join([optimizer.state[named[n]].get("exp_avg", torch.zeros_like(named[n])) for n in layout.names])
    off_loss = ((loss - expected).abs() / expected.abs()).item()
    off_moment = ((arguments[1] - moment).abs().max() / moment.abs().max()).item()
    if not (off_loss <= TOLERANCE and off_moment <= TOLERANCE):
        raise UserError(
            f"the compiled step differs from the eager one by {off_loss:.1e} of the loss and {off_moment:.1e} of the "
            f"gradient, more than {TOLERANCE:.0e}; use --compile off"
        )


def plain_numbers(model: nn.Module) -> dict[str, Any]:
    """The Python numbers and strings that modules hold, by path: a recorded graph has them built in."""
    return {
        f"{path}.{name}": value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str)
    }


def check_numbers(recorded_with: dict[str, Any], model: nn.Module) -> None:
    """Raises `UserError` when a module's own numbers are not those its step was recorded with."""
    now = plain_numbers(model)
    changed = sorted(k for k in recorded_with.keys() | now.keys() if recorded_with.get(k) != now.get(k))
    if changed:
        raise UserError(f"{changed[0]} changes between steps, and a compiled step cannot see it; use --compile off")
