"""Made-up measurements with known answers, in the shape of real ones: for tests, here and of a report of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records.score import Measurement

SEQ_LEN = 128
STEP_SECONDS, TOKEN_SECONDS, CONTEXT_SECONDS = 5e-3, 4e-4, 1e-6
"""Of the baseline: a training step of 4 texts, a decoded token, and what each token of context adds to it."""

KINDS = ("matmul", "attention", "norm", "activation", "conv", "router", "optimizer", "other")
TIME_SHARES = (0.40, 0.20, 0.09, 0.06, 0.0, 0.0, 0.05, 0.20)
FLOPS_SHARES = (0.70, 0.29, 0.002, 0.008, 0.0, 0.0, 0.0, 0.0)


def example_throughput(
    speeds: Mapping[str, float],
    *,
    error: float = 0.01,
    contexts: Sequence[int] = (64, 128, 256, 512, 1024),
    batch_sizes: Sequence[int] = (1, 32),
    limits: Mapping[str, int] | None = None,
    known: bool = True,
) -> Measurement:
    """A `throughput` of arms that are `speeds` times as fast as the baseline, the first.

    Args:
        error: half the width of every interval, as a share.
        batch_sizes: none gives the short form, training alone.
        limits: the longest context of an arm; beyond it, it has no numbers.
        known: whether ceilings, memory and the machine's state are.
    """
    cases = [("train", 4, SEQ_LEN), *(("prefill", size, SEQ_LEN) for size in batch_sizes)]
    cases += [("decode", size, context) for size in batch_sizes for context in contexts]
    first = next(iter(speeds))
    rows = []
    for kind, size, context in cases:
        for arm, speed in speeds.items():
            limit = (limits or {}).get(arm, context)
            taken = None if context > limit else _seconds(kind, size, context) / speed
            against = None if arm == first or taken is None or context > (limits or {}).get(first, context) else speed
            rows.append(_row(arm, (kind, size, context), taken, against, error, known))
    fits = {arm: sum(context <= (limits or {}).get(arm, context) for context in contexts) >= 3 for arm in speeds}
    state = {"load_average": 0.5, "cpu_mhz": 2600.0, "cpu_celsius": None, "gpu_mhz": None, "gpu_celsius": None}
    detail = {
        "device": "Made-up Processor, cpu AVX2",
        "dtype": "float32",
        "threads": 1,
        "torch": "2.13.0",
        "num_blocks": 30,
        "machine": [state, state] if known else [dict.fromkeys(state)] * 2,
        "ceilings": _ceilings(known),
        "arms": [_facts(arm, s, batch_sizes, fits[arm], error, contexts, known) for arm, s in speeds.items()],
        "rows": rows,
        "schema_version": 2,
    }
    return Measurement("throughput", {}, "finished", "", detail)


def example_profile(
    arms: Sequence[str],
    *,
    norm: Mapping[str, float] | None = None,
    decodes: bool = True,
    known: bool = True,
    time: bool = True,
) -> Measurement:
    """A `profile` of arms whose time and FLOPs are shared out as `TIME_SHARES` and `FLOPS_SHARES` say.

    Args:
        norm: by arm, the share of its time that normalisation takes instead; matrix products take the rest.
        known: whether the device's ceilings are.
        time: whether anything took any.
    """
    bodies = []
    for i, arm in enumerate(arms):
        share = (norm or {}).get(arm, TIME_SHARES[2])
        train = _work("train", share, time)
        tables = {"train": _tables(i), "decode": _tables(i) if decodes else None}
        profile = {"train": train, "decode": _work("decode", share, time) if decodes else None}
        bodies.append({"arm": arm, "profile": profile, "roofline": _roofline(i, known), "tables": tables})
    return Measurement("profile", {}, "finished", "", {"arms": bodies})


def _seconds(kind: str, batch_size: int, context: int) -> float:
    if kind == "decode":
        return TOKEN_SECONDS + batch_size * CONTEXT_SECONDS * context
    return STEP_SECONDS * batch_size / 4 / (1 if kind == "train" else 3)


def _summary(median: float, error: float) -> dict[str, Any]:
    ends = [median * (1 - error), median * (1 + error)]
    return {"median": median, "ci95": ends, "quartiles": ends, "num_blocks": 30}


def _row(
    arm: str, case: tuple[str, int, int], seconds: float | None, against: float | None, error: float, known: bool
) -> dict[str, Any]:
    kind, size, context = case
    tokens = size * (1 if kind == "decode" else context)
    log = None if against is None else math.log(against)
    ratio = None if log is None else {"median": log, "ci95": [log - error, log + error]}
    return {
        "arm": arm,
        "kind": kind,
        "batch_size": size,
        "context": context,
        "kernels": "eager; SDPA flash; norm fused (native_layer_norm)",
        "unavailable": "" if seconds is not None else f"position=learned is defined for {SEQ_LEN} positions",
        "tokens_per_s": None if seconds is None else _summary(tokens / seconds, error),
        "seconds": None if seconds is None else _summary(seconds, error),
        "against_first": None
        if ratio is None or log is None
        else {**ratio, "ci90": [log - 0.8 * error, log + 0.8 * error], "num_blocks": 30},
        "mfu": 0.25 if known and seconds is not None else None,
        "bandwidth": 0.5 if known and kind == "decode" and seconds is not None else None,
    }


def _facts(
    arm: str,
    speed: float,
    batch_sizes: Sequence[int],
    fitted: bool,
    error: float,
    contexts: Sequence[int],
    known: bool,
) -> dict[str, Any]:
    total = 6 * 2**20 if known else None
    kernels = {"compiled": False, "attention_training": "flash", "attention_decoding": "flash"}
    fits = [[size, _fit(size, speed, error, contexts) if fitted else None] for size in batch_sizes]
    return {
        "arm": arm,
        "num_params": {"total": 75120, "active": 75120, "non_embedding": 56640},
        "kernels": {**kernels, "norm": "fused (native_layer_norm)"},
        "routing": "random" if "moe" in arm else "none",
        "peak_memory": {"total_bytes": total, "step_bytes": total and total // 2, "how": "made up"},
        "kv_bytes_per_token": 768.0 if known else None,
        "compile_seconds": None,
        "decode_fits": fits,
    }


def _fit(size: int, speed: float, error: float, contexts: Sequence[int]) -> dict[str, Any]:
    a, b = TOKEN_SECONDS / speed, size * CONTEXT_SECONDS / speed
    return {
        "a": a,
        "b": b,
        "a_ci95": [a * (1 - error), a * (1 + error)],
        "b_ci95": [b * (1 - error), b * (1 + error)],
        "equal_at": a / b if error < 1 else None,
        "residual": 0.0,
        "contexts": list(contexts),
        "num_blocks": 30,
    }


def _ceilings(known: bool) -> dict[str, Any]:
    names = {"device": "Made-up Processor, cpu AVX2", "dtype": "float32", "threads": 1, "measured": ""}
    return {
        **names,
        "flops_per_s": 2e11 if known else None,
        "bytes_per_s": 1e10 if known else None,
        "ridge": 20.0 if known else None,
    }


def _work(work: str, norm: float, time: bool) -> dict[str, Any]:
    shares = dict(zip(KINDS, TIME_SHARES, strict=True))
    shares |= {"norm": norm, "matmul": shares["matmul"] + shares["norm"] - norm}
    seconds = (STEP_SECONDS if work == "train" else TOKEN_SECONDS) if time else 0.0
    kinds = [
        {
            "kind": kind,
            "seconds": shares[kind] * seconds,
            "share": shares[kind] if time else 0.0,
            "flops": 1e5 * flops if work == "train" else None,
            "flops_share": flops if work == "train" else None,
        }
        for kind, flops in zip(KINDS, FLOPS_SHARES, strict=True)
    ]
    return {
        "work": work,
        "batch_size": 4 if work == "train" else 1,
        "context": SEQ_LEN,
        "kinds": kinds,
        "operators_seconds": seconds,
        "wall_seconds": seconds / 0.8,
        "trace": "tensorboard/profile/arm/train",
    }


def _roofline(place: int, known: bool) -> dict[str, Any]:
    """A projection that all arms share, and a norm that each has for itself."""
    points = []
    for name, flops, moved in (("layers.*.attention.q", 4e4, 1e3), ("final_norm", 300.0 + place, 400.0)):
        low = flops / moved < 20
        points.append(
            {
                "name": name,
                "count": 1,
                "flops": flops,
                "num_bytes": moved,
                "intensity": flops / moved,
                "attainable": min(2e11, 1e10 * flops / moved) if known else None,
                "bound": ("memory" if low else "compute") if known else None,
            }
        )
    limits = _ceilings(known)
    return {"ceilings": limits, "ridge": limits["ridge"], "points": points}


def _tables(place: int) -> dict[str, Any]:
    """As torch-tb-profiler gives them: microseconds, KB, and its own spelling."""
    times = {"host_self_duration": 900 + place, "host_total_duration": 1000 + place}
    flags = {"tc_eligible": "No", "tc_self_ratio": 0, "tc_total_ratio": 0, "has_call_stack": False}
    spans = {"host_duration": 5000.0, "self_host_duration": 50.0, "device_duration": 0, "self_device_duration": 0}
    sizes = {"Size Increase (KB)": 96.0, "Self Size Increase (KB)": 48.0, "Allocation Count": 8}
    sizes |= {"Self Allocation Count": 4, "Allocation Size (KB)": 96.0, "Self Allocation Size (KB)": 48.0}
    return {
        "operators": [{"name": "aten::mm", "calls": 54, **times, **flags}],
        "modules": [
            {"name": name, "id": 0, "occurences": 2, "operators": 4, **spans, "avg_duration": 2500.0, "depth": depth}
            for depth, name in enumerate(("Transformer_0", "Layer_0"))
        ],
        "memory": [{"device": "CPU", "Operator Name": "aten::mm", "Calls": 54, **sizes}],
    }
