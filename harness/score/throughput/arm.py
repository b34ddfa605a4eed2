"""One arm made ready to be timed: its model on the device, its kernels named, its memory measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.plan.decode import cache_cost
from harness.plan.ledger import Ledger
from harness.plan.part_cost import decode_flops
from harness.plan.skeleton import skeleton
from harness.plan.traffic import ELEMENT_BYTES
from harness.score.throughput import workloads
from harness.score.throughput.blocks import BLOCK_SECONDS, WARM_UP, block_of, synchronise
from harness.score.throughput.kernels import KernelMode, attention_backend, norm_mode, operators
from harness.score.throughput.memory import PeakMemory, peak_memory
from harness.score.throughput.results import Work
from harness.score.throughput.workloads import Case, Workload

NUM_BLOCKS = 30
"""Timed blocks of each arm and case; definitions 3.9 asks for at least as many."""


@dataclass(frozen=True)
class Settings:
    """How to measure. `decode_contexts` None is 64 to 8 training lengths (`workloads.contexts_of`)."""

    tokens_per_step: int = 512
    batch_sizes: tuple[int, ...] = (1, 32)
    decode_contexts: tuple[int, ...] | None = None
    num_blocks: int = NUM_BLOCKS
    warm_up: int = WARM_UP
    block_seconds: float = BLOCK_SECONDS
    compiled: bool = False
    dtype: torch.dtype = torch.float32

    def groups(self, seq_len: int) -> list[list[Case]]:
        """The cases, those that are timed together in one list."""
        contexts = workloads.contexts_of(seq_len) if self.decode_contexts is None else self.decode_contexts
        return [
            [Case("train", max(1, self.tokens_per_step // seq_len), seq_len)],
            *([Case("prefill", size, seq_len)] for size in self.batch_sizes),
            *([Case("decode", size, context) for context in contexts] for size in self.batch_sizes if contexts),
        ]


class Arm:
    """A model on a device, and what is known of it before it is timed."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        model: Transformer | None,
        settings: Settings,
        device: torch.device,
        text: Tensor,
    ) -> None:
        self.name, self.ledger, self.settings, self.device = name, ledger, settings, device
        self.model = (model or Transformer(ledger.spec, seed=0)).to(device, settings.dtype)
        self.text = text.to(device)
        mixed = any(True for _ in self.model.having("balance_statistics"))
        self.routing: Literal["none", "trained", "random"] = "none" if not mixed else "trained" if model else "random"
        self._buffers = {key: b.clone() for key, b in self.model.named_buffers()}
        (training,) = settings.groups(ledger.spec.seq_len)[0]
        self._training = training
        self.kernels = self._kernels()
        self.compile_seconds = self._compile() if settings.compiled else None
        self.peak_memory = self._peak_memory()
        element = self.model.embedding.weight.element_size() / ELEMENT_BYTES
        self.kv_bytes_per_token = ledger.cache.bytes_per_token * element if ledger.cache else None

    def restore(self) -> None:
        """Give the model back as it came: training steps move routers' biases, which are buffers."""
        for key, buffer in self.model.named_buffers():
            buffer.copy_(self._buffers[key])
        self.model._compiled_call_impl = None
        self.model.eval()

    def blocks(self, cases: Sequence[Case]) -> dict[Case, Callable[[], float]]:
        """The warmed-up, timed blocks of the cases of one group that the model has."""
        cases = [case for case in cases if not workloads.refusal(self.model, case)]
        settings = self.settings
        return {
            case: block_of(
                load.call,
                self.device,
                prepare=load.prepare,
                warm_up=settings.warm_up,
                block_seconds=settings.block_seconds,
            )
            for case, load in self._workloads(cases).items()
        }

    def work(self, case: Case) -> Work:
        """What one call of a case must do. Prefill computes the logits of every position, as training does."""
        if case.kind == "train":
            return Work(case.tokens * self.ledger.training_flops_per_token, None)
        if case.kind == "prefill":
            return Work(case.tokens * self.ledger.flops.model, None)
        model = skeleton(self.ledger.spec)
        held = cache_cost(model, case.context).bytes_at_context / ELEMENT_BYTES
        cached = case.batch_size * held * self.model.embedding.weight.element_size()
        flops = case.batch_size * decode_flops(model, case.context - 1)
        return Work(flops, workloads.weight_bytes(self.model, case.batch_size) + cached)

    def _workloads(self, cases: Sequence[Case]) -> dict[Case, Workload]:
        if not cases:
            return {}
        if cases[0].kind == "train":
            return {case: workloads.training(self.model, self.text, case.batch_size) for case in cases}
        if cases[0].kind == "prefill":
            return {case: workloads.prefill(self.model, self.text, case) for case in cases}
        longest = max(case.context for case in cases)
        state = workloads.filled_state(self.model, self.text, cases[0].batch_size, longest)
        return {case: workloads.decoding(self.model, state, self.text, case) for case in cases}

    def _kernels(self) -> KernelMode:
        step = workloads.training(self.model, self.text, self._training.batch_size)
        step.prepare()
        one = Case("decode", 1, min(8, self.ledger.spec.seq_len))
        decoded: list[str] | None = None
        if not workloads.refusal(self.model, one):
            decoded = operators(self._workloads([one])[one].call)
        return KernelMode(
            compiled=self.settings.compiled,
            attention_training=attention_backend(operators(step.call)),
            attention_decoding="none" if decoded is None else attention_backend(decoded),
            norm=norm_mode(self.ledger.spec, self.device, self.settings.dtype),
        )

    def _compile(self) -> float:
        """Seconds of the first compiled training step beyond an ordinary one; shapes are fixed, as blocks are."""
        self.model.compile(dynamic=False)
        step = workloads.training(self.model, self.text, self._training.batch_size)
        step.prepare()
        first, second = self._seconds(step), self._seconds(step)
        return first - second

    def _peak_memory(self) -> PeakMemory:
        step = workloads.training(self.model, self.text, self._training.batch_size)
        step.prepare()
        step.call()  # makes the optimizer's state
        assert step.optimizer is not None
        return peak_memory(self.model, step.optimizer, step.call)

    def _seconds(self, load: Workload) -> float:
        synchronise(self.device)
        started = time.perf_counter()
        load.call()
        synchronise(self.device)
        return time.perf_counter() - started
