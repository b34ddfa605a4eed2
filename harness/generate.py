"""What does a trained run write? Streams the continuation of a prompt.

python -m harness.generate reports/store/runs/ab/ab12... "def main("
python -m harness.generate RUN "Once upon" --temperature 0 --max-tokens 50
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.cli.arguments import Parser, positive
from harness.cli.boundary import run_command
from harness.data.tokenizer import Tokenizer
from harness.model.decode import Sampling, check_lengths, room, stream
from harness.score.load import LoadedRun, load_run
from harness.train.device import choose_device

DEFAULT_TOKENS = 256
"""New tokens when --max-tokens is not given, or as many as the model has positions for. Assumption: a screenful."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer shows for bytes that are not UTF-8, or not yet."""


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(prog="python -m harness.generate", description="Let a trained run continue a prompt.")
    p.add_argument("run", type=Path, metavar="RUN", help="a run's folder: STORE/runs/ab/ab12...")
    p.add_argument("prompt", nargs="?", default="", metavar="PROMPT", help="default: a text from its beginning")
    p.add_argument(
        "--max-tokens",
        type=positive(int),
        metavar="N",
        help=f"new tokens at most; default {DEFAULT_TOKENS}, or what the model has positions for",
    )
    p.add_argument("--temperature", type=float, default=1.0, metavar="T", help="0 is greedy; default %(default)s")
    p.add_argument("--top-k", type=positive(int), metavar="K", help="draw from the K likeliest tokens; default all")
    p.add_argument("--top-p", type=positive(float), metavar="P", help="from the likeliest that sum to P; default all")
    p.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed writes the same; default %(default)s"
    )
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps; default %(default)s")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: write(parser().parse_intermixed_args(argv)))


def write(args: argparse.Namespace) -> int:
    """argv -> run -> the prompt and its continuation on stdout, as it is written."""
    sampling = Sampling(args.temperature, args.top_k, args.top_p, args.seed)
    run = load_run(args.run, device=choose_device(args.device))
    prompt = [run.tokenizer.end_of_text, *run.tokenizer.encode(args.prompt).tolist()]
    max_tokens = args.max_tokens or _default_tokens(run, len(prompt))
    check_lengths(run.model, [prompt], max_tokens)  # so that nothing is printed before an error
    print(args.prompt, end="", flush=True)
    tokens = stream(run.model, prompt, max_tokens, sampling, stop_id=run.tokenizer.end_of_text)
    for text in texts(tokens, run.tokenizer):
        print(text, end="", flush=True)
    print()
    return 0


def _default_tokens(run: LoadedRun, prompt_len: int) -> int:
    space = room(run.model, prompt_len)
    return DEFAULT_TOKENS if space is None else max(1, min(DEFAULT_TOKENS, space))


def texts(tokens: Iterable[int], tokenizer: Tokenizer) -> Iterator[str]:
    """The text of tokens as they come; a character whose bytes are not all there is held back.

    Bytes that end in the middle of a character decode to one replacement character at the end, and nothing before
    the end can change any more: so only a last replacement character waits, and whatever follows it decides.
    """
    waiting: list[int] = []  # since the last character boundary
    shown = 0  # characters of them that are out
    for token in tokens:
        waiting.append(token)
        text = tokenizer.decode(np.array(waiting))
        settled = text.removesuffix(REPLACEMENT)
        if len(settled) > shown:
            yield settled[shown:]
        shown = len(settled)
        if settled == text:
            waiting, shown = [], 0
    if rest := tokenizer.decode(np.array(waiting, dtype=np.int64))[shown:]:
        yield rest


if __name__ == "__main__":
    sys.exit(main())
