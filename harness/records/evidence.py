"""What a claims ledger has measured: plain numbers, from which every estimate and word is computed anew.

    OUT/claims/ledger.json         what all claims share: scale, data, recipe, machine, the confirmatory family
    OUT/claims/evidence/C1.json    one claim: its declaration, arms, values a run, timings, checks

Both are sealed (records.seal). No torch is needed to read them, and no run store.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.records.atomic import StoreError, write_text
from harness.records.record import to_json
from harness.records.schema import SCHEMA_VERSION
from harness.records.seal import seal, unseal
from variants.errors import UserError

LEDGER, EVIDENCE = "ledger.json", "evidence"


@dataclass(frozen=True)
class LedgerRecord:
    """What all claims of a ledger share. `family` are the confirmatory questions, [claim, question]."""

    command: list[str]
    created: str  # ISO 8601, UTC
    scale: str
    size: str
    budget: float  # training FLOPs of a run
    num_steps: int  # of the baseline
    seq_len: int
    recipe: dict[str, Any]
    data: dict[str, Any]
    environment: dict[str, str]
    family: list[list[str]]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class EvidenceRecord:
    """One claim. `arms` have what `arm_facts` lists, `runs` arm, seed, status, reason, seconds and values by score.

    `timings` are details of `Measurement`s by name, `kernels` log-ratios by name, `checks` numbers by check and name.
    """

    claim: dict[str, Any]
    arms: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, dict[str, Any]] = field(default_factory=dict)
    kernels: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def write_ledger(folder: Path, ledger: LedgerRecord) -> None:
    """Raises `StoreError` when the disk refuses."""
    write_text(folder / LEDGER, json.dumps(seal(to_json(ledger)), indent=1, allow_nan=False) + "\n")


def write_evidence(folder: Path, evidence: EvidenceRecord) -> None:
    """Write one claim's evidence instead of what was known of it. Raises `StoreError` when the disk refuses."""
    path = folder / EVIDENCE / f"{evidence.claim['id']}.json"
    write_text(path, json.dumps(seal(to_json(evidence)), allow_nan=False) + "\n")


def read_ledger(folder: Path) -> LedgerRecord:
    """What `write_ledger` wrote.

    Raises:
        UserError: the folder is no ledger's, or the file was cut short, damaged or edited.
        StoreError: the disk refuses.
    """
    path = folder / LEDGER
    body = unseal(_read(path), str(path))
    try:
        return LedgerRecord(**body)
    except TypeError as error:
        raise UserError(f"{path} is not a claims ledger ({error}); run harness.claims again") from error


def read_evidence(folder: Path) -> dict[str, EvidenceRecord]:
    """Every claim's evidence, by id. Raises what `read_ledger` raises."""
    found = {}
    for path in sorted((folder / EVIDENCE).glob("*.json")):
        body = unseal(_read(path), str(path))
        try:
            found[body["claim"]["id"]] = EvidenceRecord(**body)
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} is not a claim's evidence ({error}); delete it and run the claim again") from error
    return found


def is_ledger(folder: Path) -> bool:
    """Whether a folder is a claims ledger's and not a study's."""
    return (folder / LEDGER).exists()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{path.parent} is not a claims ledger: it has no {path.name}") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
