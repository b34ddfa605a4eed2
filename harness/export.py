"""Write a trained run, its tokenizer too, as a folder that Hugging Face's transformers and lm-eval load.

python -m harness.export reports/store/runs/ab/ab12... --format hf --out exported
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli.arguments import Parser
from harness.cli.boundary import run_command
from harness.model.huggingface.checkpoint import save_huggingface
from harness.model.huggingface.tokenizer import save_tokenizer
from harness.score.load import load_run


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(prog="python -m harness.export", description="Write a trained run for another program.")
    p.add_argument("run", type=Path, metavar="RUN", help="a run's folder: record.json and weights.safetensors")
    p.add_argument(
        "--format", choices=("hf",), default="hf", help="hf: config.json, model.safetensors, tokenizer.json; default hf"
    )
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write; made if it is not there")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see harness/cli/boundary.py)."""
    return run_command(lambda: export(parser().parse_args(argv)))


def export(args: argparse.Namespace) -> int:
    """argv -> run -> checkpoint and tokenizer."""
    run = load_run(args.run)
    model, coder = run.model, run.tokenizer
    family = save_huggingface(model, args.out, coder.end_of_text)
    save_tokenizer(coder.to_json(), coder.end_of_text, model.spec.seq_len, args.out)
    print(f"{args.out}: {family.architecture}, {sum(p.numel() for p in model.parameters()):,} parameters, {coder.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
