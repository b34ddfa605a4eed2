"""Write a trained run as a folder that Hugging Face's transformers loads.

python -m harness.export reports/store/runs/ab/ab12... --format hf --out exported
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from harness.cli.arguments import Parser
from harness.cli.boundary import run_command
from harness.model.huggingface.checkpoint import save_huggingface
from harness.model.transformer import Transformer
from harness.records.seal import unseal
from harness.spec.spec import Spec
from variants.errors import UserError


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(prog="python -m harness.export", description="Write a trained run for another program.")
    p.add_argument("run", type=Path, metavar="RUN", help="a run's folder: record.json and weights.safetensors")
    p.add_argument("--format", choices=("hf",), default="hf", help="hf: config.json and model.safetensors; default hf")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write; made if it is not there")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see harness/cli/boundary.py)."""
    return run_command(lambda: export(parser().parse_args(argv)))


def export(args: argparse.Namespace) -> int:
    """argv -> model -> checkpoint."""
    model = load_run(args.run)
    family = save_huggingface(model, args.out)
    print(f"{args.out}: {family.architecture}, {sum(p.numel() for p in model.parameters()):,} parameters")
    return 0


def load_run(folder: Path) -> Transformer:
    """The model of a run, with the weights it was left with.

    Raises:
        UserError: the folder is no finished run, or its weights are damaged or of another model.
    """
    record, weights = folder / "record.json", folder / "weights.safetensors"
    if not record.is_file() or not weights.is_file():
        missing = weights if record.is_file() else record
        raise UserError(f"{folder} is no finished run, {missing.name} is not there; name STORE/runs/ab/ab12...")
    spec = Spec.from_json(unseal(record.read_bytes(), str(record))["identity"]["spec"])
    model = Transformer(spec, seed=None)
    try:
        state = load_file(weights)
        if spec.tied_head:
            state["head.weight"] = state["embedding.weight"]
        model.load_state_dict(state)
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise UserError(f"{weights} does not hold the model of its record: {error}") from error
    return model.eval()


if __name__ == "__main__":
    sys.exit(main())
