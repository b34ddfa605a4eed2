"""Score one run, or a transformers folder on this disk, with lm-eval.

    python -m harness.evaluate reports/store/runs/ab/ab12... --tasks blimp,arc_easy --limit 100
    python -m harness.evaluate path/to/a-llama-folder --tasks arc_easy --json

`cloze`, the default, is made from the run's own corpus and needs no data; blimp, lambada_openai, piqa, arc_easy and
wikitext are read from HARNESS_DATA; any other lm-eval task by name, with a network, or by its YAML file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli.arguments import Parser, positive
from harness.cli.boundary import run_command
from harness.data import dataset
from harness.data.dataset import TokenizedData
from harness.data.tokenizer import Tokenizer
from harness.model.huggingface.checkpoint import load_huggingface
from harness.model.transformer import Transformer
from harness.score.lmeval.hf_tokenizer import load_hf_tokenizer
from harness.score.lmeval.run import evaluate
from harness.score.lmeval.scores import LmEvalScores, Metric
from harness.score.lmeval.tasks import DEFAULT_TASKS
from harness.score.load import load_run
from harness.train.device import choose_device
from variants.errors import UserError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(
        prog="python -m harness.evaluate",
        description="Score one run, or a local transformers folder, with lm-eval.",
        epilog="A run is a folder of the store, OUT/store/runs/ab/ab12..., with record.json and weights.safetensors.",
    )
    p.add_argument("folder", type=Path, metavar="RUN_OR_HF_FOLDER", help="what is scored")
    p.add_argument(
        "--tasks",
        default=",".join(DEFAULT_TASKS),
        metavar="NAME,...",
        help="cloze, blimp, blimp_PARADIGM, lambada_openai, piqa, arc_easy, wikitext, any other lm-eval task, or a "
        "task file; default %(default)s",
    )
    p.add_argument("--limit", type=positive(int), metavar="N", help="the first N items of each task; default all")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps; default %(default)s")
    p.add_argument("--json", action="store_true", help="one JSON document on stdout, every item in it")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see harness/cli/boundary.py)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: score(parser().parse_args(argv)))


def score(args: argparse.Namespace) -> int:
    """argv -> model -> scores -> text or JSON."""
    names = [name.strip() for name in args.tasks.split(",") if name.strip()]
    if not names:
        raise UserError(f"--tasks takes names divided by commas, got {args.tasks!r}; try cloze")
    model, tokenizer, data = open_folder(args.folder, args.device)
    scores = evaluate(model, tokenizer, data, names, args.limit)
    if args.json:
        print(json.dumps({"folder": str(args.folder), **scores.to_json()}, indent=1, allow_nan=False))
    else:
        print(table(scores))
    return 0


def open_folder(folder: Path, device_name: str) -> tuple[Transformer, Tokenizer, TokenizedData | None]:
    """The model and tokenizer in a folder, and the corpus of a run.

    Raises:
        UserError: the folder is neither a run nor a transformers model.
    """
    device = choose_device(device_name)
    if not folder.is_dir():
        raise UserError(f"there is no folder {str(folder)!r}; give a run of a store or a transformers folder")
    if (folder / "config.json").is_file() and not (folder / "record.json").is_file():
        model = load_huggingface(folder)
        return model.to(device).eval(), load_hf_tokenizer(folder), None
    run = load_run(folder, device=device)
    return run.model, run.tokenizer, dataset.load(run.data_folder, run.data_sha256)


def table(scores: LmEvalScores) -> str:
    """One line a metric, then what stands against trusting them."""
    rows = scores.rows()
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {line(metric)}" for name, metric in rows]
    return "\n".join([*lines, *(f"  {sentence}" for sentence in scores.warnings())])


def line(metric: Metric) -> str:
    """`acc  0.5312 +- 0.0123 (chance 0.5000: says nothing)`."""
    value = "not a number" if metric.value is None else f"{metric.value:.4g}"
    error = "" if metric.standard_error is None else f" +- {metric.standard_error:.2g}"
    text = f"{metric.name:<20} {value}{error} {metric.unit}, {metric.direction} is better"
    if metric.chance is None:
        return text
    told = "" if metric.informative else ", which this does not tell from guessing"
    return f"{text}; chance {metric.chance:.4g}{told}"


if __name__ == "__main__":
    sys.exit(main())
