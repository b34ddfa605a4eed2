"""Which worker of this machine has which GPU, and how many runs share one by the memory they take."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal

import torch

from harness.engine.job import Job
from harness.score.throughput.memory import cpu_peak
from harness.train.device import choose_device
from harness.train.eager import EagerStep
from harness.train.optimizer import make_optimizer
from harness.train.precision import make_model
from harness.train.stack import Stack, quiet_vmap

RunsPerGpu = int | Literal["auto"]

VISIBLE = "CUDA_VISIBLE_DEVICES"

CONTEXT_BYTES = 640 * 2**20
"""What a process takes of a GPU beside its tensors: CUDA's context, its kernels, cuBLAS' workspace. Assumption."""

GIVEN_SHARE = 0.9
"""Of the free memory, handed out: the allocator keeps blocks that do not fit the next request. Assumption."""

MOST_RUNS = 8
"""Runs on one GPU with `auto`. Processes take turns on it, and more bring no speed. Assumption."""

Seat = Mapping[str, str]
"""Environment variables of a worker beside the study's own."""


def seats_of(jobs: Sequence[Job], num_workers: int | None, runs_per_gpu: RunsPerGpu) -> list[Seat]:
    """A seat for each worker: one a core on a CPU; on GPUs, one after another, as many as share one.

    Args:
        num_workers: as many seats, where the user said so.

    A device with a number, and a run over several processes, sees the GPUs that the study sees.
    """
    device = choose_device(jobs[0].device) if jobs else torch.device("cpu")
    if device.type != "cuda":
        return [{}] * (num_workers or os.cpu_count() or 1)
    own = device.index is not None or jobs[0].parallel is not None
    per_gpu = shared_by(jobs, device) if runs_per_gpu == "auto" else runs_per_gpu
    if own:
        return [{}] * (num_workers or per_gpu)
    return seats(visible_gpus(os.environ, torch.cuda.device_count()), num_workers, per_gpu)


def seats(gpus: Sequence[str], num_workers: int | None, per_gpu: int) -> list[Seat]:
    """Workers in turns over GPUs, so that few workers have one each."""
    return [{VISIBLE: gpus[i % len(gpus)]} for i in range(num_workers or per_gpu * len(gpus))]


def visible_gpus(environment: Mapping[str, str], count: int) -> list[str]:
    """What names each GPU that this process sees."""
    named = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()]
    return named[:count] if len(named) >= count else [str(i) for i in range(count)]


def shared_by(jobs: Sequence[Job], device: torch.device) -> int:
    """How many runs share a GPU: by the free memory of the fullest, and the arm that takes most."""
    shapes = {(job.spec, job.recipe, job.manner, job.recompute_activations): job for job in jobs}
    peak = max(measured_peak(job) for job in shapes.values())
    torch.cuda.empty_cache()
    gpus = range(torch.cuda.device_count()) if device.index is None else [device.index]
    return runs_that_fit(min(torch.cuda.mem_get_info(gpu)[0] for gpu in gpus), peak)


def runs_that_fit(free_bytes: int, peak_bytes: int) -> int:
    """Runs of that peak, a process each, that a GPU with so much free memory takes; one at least, which may fail."""
    return max(1, min(MOST_RUNS, int(GIVEN_SHARE * free_bytes) // (peak_bytes + CONTEXT_BYTES)))


def measured_peak(job: Job) -> int:
    """Most bytes that training holds at once: weights, moments, and what two steps allocate. A stack's, for its jobs.

    Measured by taking the steps on the job's device, on random tokens.
    """
    device = choose_device(job.device)
    if device.type != "cuda":
        return cpu_peak(lambda: _two_steps(job, device))
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    _two_steps(job, device)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _two_steps(job: Job, device: torch.device) -> None:
    """The second is the first with moments."""
    spec, recipe, rows = job.spec, job.recipe, job.manner.rows
    model = make_model(spec, 0, job.manner.precision).to(device).train()
    model.recompute_activations = job.recompute_activations
    optimizer = make_optimizer(model, recipe)
    text = torch.randint(spec.vocab_size, (1, recipe.tokens_per_step // spec.seq_len, spec.seq_len + 1), device=device)
    tokens, targets = text[..., :-1].contiguous(), text[..., 1:].contiguous()
    with quiet_vmap():
        if rows is None:
            one = EagerStep(model, optimizer, recipe, 2)
            for step in range(2):
                one((tokens[0], targets[0]), step)
        else:
            stack = Stack([model], [optimizer], recipe, 2, rows)
            for step in range(2):
                stack((tokens, targets), step)
