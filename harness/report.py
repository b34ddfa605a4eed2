"""Rebuild a study's report from its records, index many, compare two: torch is not needed, and nothing is trained.

    python -m harness.report reports/STUDY
    python -m harness.report reports/claims
    python -m harness.report reports               reports/index.html, of everything in the folder
    python -m harness.report reports/A reports/B   two studies compared, in reports/compared/

A study whose scale harness.calibrate has measured shows that noise: as it was when the study ran, or as the store
beside it (or --store) has it now, if that is newer.

Reads study.json and runs.jsonl; writes report.html, report.md, comparisons.json and the figures beside them, and every
table as CSV and LaTeX into tables/. Of a claims ledger it reads the evidence and writes claims.json.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness.analyse.ladder import climbs
from harness.analyse.ladder_text import sentences
from harness.analyse.sentences import headline, verdict_sentence
from harness.analyse.text import count
from harness.records.evidence import is_ledger
from harness.records.ladder import RUNGS, is_ladder, read_ladder
from harness.records.store import StoreError
from harness.records.study import collector_off
from harness.reporting.claims import rebuild_claims
from harness.reporting.compared import compare_folders
from harness.reporting.files import inside
from harness.reporting.index import STORE, is_report, report_folders, write_index
from harness.reporting.ladder import write_ladder_report
from harness.reporting.material import Material, read_material
from harness.reporting.write import write_report
from variants.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0, or 2 for bad input, or 1 when the disk refuses."""
    try:
        args = _parser().parse_args(argv)
        folder, *others = args.folders
        if others:
            return _compared(folder, others)
        if is_ledger(folder):
            print("\n".join(rebuild_claims(folder)))
            return 0
        if is_ladder(folder):
            return _ladder(folder, args.store)
        if folder.is_dir() and not is_report(folder) and (found := list(report_folders(folder))):
            print(f"{count(len(found), 'report')}: {write_index(folder, found)}")
            return 0
        material = _material(folder, args.store)
        report = write_report(folder, material)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (StoreError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for comparison in material.comparisons:
        print(verdict_sentence(comparison))
        print(f"  {comparison.reason}")
    if not material.comparisons:
        print(headline(material.study, material.comparisons))
    print(f"report: {report}")
    return 0


def _compared(first: Path, others: Sequence[Path]) -> int:
    """The report of two studies."""
    if len(others) > 1:
        raise UserError(
            f"two studies are compared, got {1 + len(others)}; give two folders, or one that holds them all"
        )
    page, report = compare_folders(first, others[0])
    print(f"{page.headline}\nreport: {report}")
    return 0


def _ladder(folder: Path, store: Path | None) -> int:
    """The report of a ladder, and those of its rungs."""
    ladder, rungs = read_ladder(folder)
    for rung in rungs:
        place = inside(folder, RUNGS, rung.study.name)
        write_report(place, _material(place, store or folder.resolve().parent / STORE))
    report = write_ladder_report(folder, ladder, rungs)
    for found in climbs(rungs):
        print("\n  ".join(sentences(found)))
    print(f"report: {report}")
    return 0


def _material(folder: Path, store: Path | None) -> Material:
    """A study as it was read. Python's searches for cycles, a tenth of a large report, leave it alone: it has none.

    Args:
        store: that beside the folder where it is not given.
    """
    with collector_off():
        material = read_material(folder, store or folder.resolve().parent / STORE)
    gc.freeze()
    return material


class _Parser(argparse.ArgumentParser):
    """One sentence instead of the usage text when the arguments are wrong."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see python -m harness.report --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m harness.report", description="Rebuild a report, index many, or compare two.")
    folders = "of a study (it has study.json), a ladder or a claims ledger; of many, for an index; or two of studies"
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help=folders)
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help="of the runs, with their calibrations; default store beside FOLDER"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
