"""Decoding and prefill raced against transformers on the same random weights: one process, one thread, ABBA.

    OMP_NUM_THREADS=1 python tests/benchmarks/race_decode.py llama 2x48 --batch-size 16

A process of its own, because under pytest every call of the model checks its shapes. On a CPU times are of the thread,
so that other work on the machine counts less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from harness.model.decode import generate
from harness.model.huggingface.checkpoint import save_huggingface
from harness.model.transformer import Transformer
from harness.spec.presets import preset
from harness.spec.sizes import resize
from harness.train.device import choose_device

PROMPT, NEW = 32, 224
"""Tokens: a short prompt, then what fits 256."""


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Race cached generation and prefill against transformers.")
    p.add_argument("form", choices=("llama", "gpt2"))
    p.add_argument("size", help="2x48")
    p.add_argument("--batch-size", type=int, default=1)
    p.add_argument("--rounds", type=int, default=3, help="of ABBA")
    p.add_argument("--device", default="cpu")
    args = p.parse_args(argv)
    torch.set_num_threads(1)
    json.dump(race(args.form, args.size, args.batch_size, args.rounds, choose_device(args.device)), sys.stdout)


def race(form: str, size: str, batch_size: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Tokens per second of both, and the ratios ours / theirs."""
    spec = resize(preset(form), size, seq_len=PROMPT + NEW).replace(vocab_size=257)
    ours = Transformer(spec, seed=0).eval()
    theirs = in_transformers(ours).to(device)
    ours.to(device)
    prompt = torch.randint(256, (batch_size, PROMPT), generator=torch.Generator().manual_seed(1)).to(device)
    rows, mask = prompt.tolist(), torch.ones_like(prompt)

    def written() -> list[list[int]]:
        new = theirs.generate(prompt, attention_mask=mask, max_new_tokens=NEW, do_sample=False, use_cache=True)
        return new[:, PROMPT:].tolist()

    if generate(ours, rows, NEW) != written():
        raise AssertionError("the two wrote different texts: not the same model")
    clock = time.thread_time if device.type == "cpu" else device_time
    decoding = abba(lambda: generate(ours, rows, NEW), written, rounds, clock)
    reading = abba(
        torch.inference_mode()(lambda: ours(prompt, ours.new_state(batch_size, PROMPT))),
        torch.inference_mode()(lambda: theirs(prompt, use_cache=True)),
        20 * rounds,
        clock,
    )
    tokens = batch_size * NEW
    return {
        "decode_ratio": decoding[1] / decoding[0],
        "prefill_ratio": reading[1] / reading[0],
        "tokens_per_second": tokens / decoding[0],
        "theirs_tokens_per_second": tokens / decoding[1],
    }


def in_transformers(model: Transformer) -> Any:
    """The same weights in the class of transformers; nothing ends a text."""
    import transformers

    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        save_huggingface(model, Path(folder))
        theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs.generation_config.eos_token_id, theirs.generation_config.pad_token_id = None, 0
    return theirs.eval()


def device_time() -> float:
    """Wall clock, once a GPU has done what was asked of it."""
    torch.cuda.synchronize()
    return time.perf_counter()


def abba(a: Callable[[], Any], b: Callable[[], Any], rounds: int, clock: Callable[[], float]) -> tuple[float, float]:
    """Median seconds of each, taken in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for which in (0, 1, 1, 0):
            start = clock()
            (a, b)[which]()
            taken[which].append(clock() - start)
    return statistics.median(taken[0]), statistics.median(taken[1])


if __name__ == "__main__":
    main()
