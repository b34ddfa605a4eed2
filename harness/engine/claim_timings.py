"""What a claim wants timed: arms side by side in one process, and norms alone. Kept as measurements, made anew when
the arms, the device, torch or the code that measures change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.data.dataset import TokenizedData
from harness.engine.attempt import attempt
from harness.engine.claim_runs import PlannedClaim, Setting, planned_arm
from harness.engine.identity import ROOT, files_digest
from harness.engine.measurements import TEXT_TOKENS
from harness.records.claim import Question, Timing
from harness.records.store import RunStore
from harness.score.load import load_run
from harness.score.throughput.arm import Settings
from harness.score.throughput.ceilings import device_name
from harness.score.throughput.measure import Candidate, measure
from harness.score.throughput.norm_kernels import norm_kernels
from harness.spec.sizes import resize
from variants.errors import UserError


@dataclass(frozen=True)
class Bench:
    """Where timings are made. `settings_of` gives the ledger's setting at another size."""

    setting: Setting
    settings_of: Callable[[str], Setting]
    data: TokenizedData
    store_folder: Path
    device: torch.device
    num_blocks: int
    say: Callable[[str], None]


def kernel_name(q: Question) -> str:
    """The name of a norm's timing in a claim's evidence."""
    return f"{q.of['mode']} {q.of['width']}{' with backward' if q.of.get('backward') else ''}"


Made = dict[str, dict[str, Any]]
"""By name, measurements as plain data."""


def time_claim(
    planned: PlannedClaim,
    bench: Bench,
    keys: Mapping[str, str],
    timings: Made,
    kernels: Made,
    keep: Callable[[], None],
) -> None:
    """Add to `timings` and `kernels` what a claim asks for and they do not hold yet; `keep` is called after each.

    Args:
        keys: of each arm its first finished run, for timings of trained weights.
    """
    for timing in planned.claim.timings:
        identity = _identity(planned, timing, bench, keys)
        if not _holds(timings.get(timing.name), identity):
            bench.say(f"timing {planned.claim.id}: {timing.name}")
            timings[timing.name] = _measured(timing.name, identity, partial(_time, planned, timing, bench, keys))
            keep()
    for q in (q for q in planned.claim.questions if q.measure == "kernel"):
        name, width, backward = kernel_name(q), q.of["width"], bool(q.of.get("backward"))
        identity = {**_machine(bench), "kernel": name}
        if not _holds(kernels.get(name), identity):
            bench.say(f"timing {planned.claim.id}: norms alone, {name}")
            run = partial(norm_kernels, q.of["mode"], width, backward, bench.num_blocks, bench.device)
            kernels[name] = _measured(name, identity, run)
            keep()


def _holds(known: dict[str, Any] | None, identity: dict[str, Any]) -> bool:
    return known is not None and known["identity"] == identity and known["status"] == "finished"


def _time(planned: PlannedClaim, timing: Timing, bench: Bench, keys: Mapping[str, str]) -> dict[str, Any]:
    setting = bench.setting if timing.size is None else bench.settings_of(timing.size)
    arms = {name: planned_arm(planned.claim, planned.claim.arm(name), setting) for name in timing.arms}
    store = RunStore(bench.store_folder)
    candidates = []
    for name, arm in arms.items():
        model = None
        if timing.trained:
            if name not in keys:
                raise UserError(f"no run of {name} finished, so there are no trained weights to time")
            model = load_run(store.folder(keys[name]), device=bench.device).model
        candidates.append(Candidate(name, arm.ledger, model))
    length = setting.spec.seq_len
    settings = Settings(
        setting.recipe.tokens_per_step,
        batch_sizes=timing.batch,
        decode_contexts=tuple(max(1, round(ratio * length)) for ratio in timing.contexts),
        num_blocks=bench.num_blocks,
        compiled=timing.compiled,
    )
    text = torch.from_numpy(bench.data.validation[:TEXT_TOKENS].astype("int64"))
    found = measure(candidates, settings, bench.device, bench.store_folder, text=text, on_progress=bench.say)
    return found.to_json()


def _measured(name: str, identity: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A measurement as plain data, under its name in the evidence."""
    made = attempt(name, identity, make)
    return {key: getattr(made, key) for key in ("identity", "status", "reason", "detail", "seconds", "created")}


def _identity(planned: PlannedClaim, timing: Timing, bench: Bench, keys: Mapping[str, str]) -> dict[str, Any]:
    setting = bench.setting if timing.size is None else bench.settings_of(timing.size)
    specs = [planned_arm(planned.claim, planned.claim.arm(name), setting).ledger.spec.to_json() for name in timing.arms]
    trained = [keys.get(name) for name in timing.arms] if timing.trained else []
    how = [timing.compiled, list(timing.batch), list(timing.contexts), setting.recipe.tokens_per_step]
    return {
        **_machine(bench),
        "arms": hashlib.sha256(repr([list(timing.arms), specs, trained, how]).encode()).hexdigest(),
        "data": bench.data.sha256 if timing.trained else None,
    }


def _machine(bench: Bench) -> dict[str, Any]:
    return {
        "device": device_name(bench.device),
        "torch": torch.__version__,
        "blocks": bench.num_blocks,
        "code": files_digest(set(ROOT.glob("harness/score/throughput/*.py"))),
    }


def setting_at(setting: Setting, source: Any, size: str) -> Setting:
    """A setting at another size; the budget plays no part in a timing, only widths are solved."""
    spec = resize(source, size, seq_len=setting.spec.seq_len).replace(vocab_size=setting.spec.vocab_size)
    return Setting(setting.baseline, spec, setting.recipe, None, 1_000_000)
