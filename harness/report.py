"""Rebuild a study's report from its records, on any machine: torch is not needed, and nothing is trained.

    python -m harness.report reports/STUDY
    python -m harness.report reports/claims

Reads study.json and runs.jsonl; writes report.html, report.md, comparisons.json and the figures beside them, and every
table as CSV and LaTeX into tables/. Of a claims ledger it reads the evidence and writes claims.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness.analyse.ladder import climbs
from harness.analyse.ladder_text import sentences
from harness.analyse.sentences import headline, verdict_sentence
from harness.records.evidence import is_ledger
from harness.records.ladder import RUNGS, is_ladder, read_ladder
from harness.records.store import StoreError
from harness.reporting.claims import rebuild_claims
from harness.reporting.ladder import write_ladder_report
from harness.reporting.material import read_material
from harness.reporting.write import write_report
from variants.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0, or 2 for bad input, or 1 when the disk refuses."""
    try:
        folder = Path(_parser().parse_args(argv).folder)
        if is_ledger(folder):
            print("\n".join(rebuild_claims(folder)))
            return 0
        if is_ladder(folder):
            return _ladder(folder)
        material = read_material(folder)
        report = write_report(folder, material)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for comparison in material.comparisons:
        print(verdict_sentence(comparison))
        print(f"  {comparison.reason}")
    if not material.comparisons:
        print(headline(material.study, material.comparisons))
    print(f"report: {report}")
    return 0


def _ladder(folder: Path) -> int:
    """The report of a ladder, and those of its rungs."""
    ladder, rungs = read_ladder(folder)
    for rung in rungs:
        place = folder / RUNGS / rung.study.name
        write_report(place, read_material(place))
    report = write_ladder_report(folder, ladder, rungs)
    for found in climbs(rungs):
        print("\n  ".join(sentences(found)))
    print(f"report: {report}")
    return 0


class _Parser(argparse.ArgumentParser):
    """One sentence instead of the usage text when the arguments are wrong."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see python -m harness.report --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m harness.report", description="Rebuild a study's report from its records.")
    parser.add_argument("folder", metavar="FOLDER", help="of a study (it has study.json), a ladder or a claims ledger")
    return parser


if __name__ == "__main__":
    sys.exit(main())
