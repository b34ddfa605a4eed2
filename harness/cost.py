"""What does an arm cost? Prints its ledger without training it: FLOPs, parameters and bytes per module.

python -m harness.cost ffn=mixtral ffn.num_experts=16 --size 12x768
python -m harness.cost --preset mixtral-8x7b --seq-len 4096
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence

from harness.cli.arguments import TOKENS_HELP, Parser, add_model_flags, positive
from harness.cli.boundary import run_command
from harness.plan.ledger import Ledger, count
from harness.plan.match import match_arm, plan_baseline
from harness.plan.part_cost import ModuleCost, by_kind
from harness.spec.presets import PRESETS, preset
from harness.spec.recipe import Recipe
from harness.spec.sizes import resize
from harness.spec.spec import Spec
from harness.spec.tokens import Arm, parse_arms
from variants.errors import UserError


def parser() -> Parser:
    """The command line, with its help."""
    p = Parser(prog="python -m harness.cost", description="Print what an arm costs, without training it.")
    p.add_argument("tokens", nargs="*", metavar="slot=variant", help=TOKENS_HELP)
    add_model_flags(p)
    p.set_defaults(seq_len=None)  # which of two defaults depends on --preset
    p.add_argument(
        "--preset",
        metavar="NAME",
        help=f"a published model at its own size, vocabulary and context length: {', '.join(PRESETS)}",
    )
    p.add_argument("--vocab-size", type=positive(int), metavar="N", help="default 257, bytes, or the preset's")
    p.add_argument(
        "--d-ff",
        type=positive(int),
        metavar="N",
        help="width of the FFN or of one expert; default: what --match flops gives the arm in a study",
    )
    p.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: cost(parser().parse_intermixed_args(argv)))


def cost(args: argparse.Namespace) -> int:
    """argv -> spec -> ledger -> text or JSON."""
    ledger = ledger_for(args)
    source = PRESETS[args.preset].source if args.preset else ""
    print(json.dumps(ledger.to_json(), indent=1) if args.json else ledger_text(ledger, source))
    return 0


def ledger_for(args: argparse.Namespace) -> Ledger:
    """The ledger of the one arm the tokens name, at the width a study would give it."""
    baseline = baseline_of(args)
    arms = parse_arms(args.tokens, baseline)
    if len(arms) > 1:
        raise UserError(f"harness.cost prints one arm, the tokens name {len(arms)}; remove the commas")
    name = args.preset or args.baseline
    arm = arms[0] if arms else Arm(name, baseline)
    if args.d_ff is not None:
        return count(arm.spec.replace(d_ff=args.d_ff))
    # a budget of many steps, so that only the width is solved
    first = plan_baseline(Arm(name, baseline), Recipe().tokens_per_step, num_steps=1_000_000)
    return match_arm(arm, first, "flops").ledger if arms else first.ledger


def baseline_of(args: argparse.Namespace) -> Spec:
    """The preset as published, or a baseline at the study's size."""
    if args.preset is None:
        spec = resize(preset(args.baseline), args.size, heads=args.heads, seq_len=args.seq_len)
        return spec.replace(vocab_size=args.vocab_size or Spec().vocab_size)
    if args.size is not None or args.heads is not None:
        raise UserError(
            f"--preset {args.preset} is costed at its published size; "
            f"use --baseline {args.preset} --size SIZE for the same family at another"
        )
    spec = preset(args.preset)
    return spec.replace(seq_len=args.seq_len or spec.seq_len, vocab_size=args.vocab_size or spec.vocab_size)


def ledger_text(ledger: Ledger, source: str = "") -> str:
    """The ledger as a table: one row a kind of module that costs something, and the totals."""
    spec, flops = ledger.spec, ledger.flops
    lines = [f"{'module':<40}{'FLOPs/token':>20}{'share':>7}{'parameters':>18}{'bytes/token':>14}{'FLOPs/byte':>11}"]
    lines += [
        _row(name, group, flops.model, spec.seq_len) for name, group in _alike(ledger.modules) if _costs(group[0])
    ]
    lines += [
        f"{'total, forward':<40}{flops.model:>20,.0f}{1:>7.1%}{ledger.total_params:>18,}",
        "",
        f"{spec.n_layers} layers, d_model {spec.d_model}, d_ff {spec.d_ff}, vocabulary {spec.vocab_size:,}, "
        f"seq_len {spec.seq_len:,}",
        f"parameters            {ledger.total_params:,} total, {ledger.active_params:,} active, "
        f"{ledger.non_embedding_params:,} non-embedding",
        f"training FLOPs/token  {ledger.training_flops_per_token:,.0f} model (3 x forward; attention causal), "
        f"{ledger.hardware_flops_per_token:,.0f} hardware (with the masked scores)",
        *_decoding(ledger),
        "forward, by kind      " + ", ".join(f"{kind} {n:,.0f}" for kind, n in by_kind(flops).items() if n),
        "bytes: one pass over one text of seq_len, 2-byte elements, every tensor moved once (harness/plan/traffic.py)",
    ]
    return "\n".join([*lines, f"numbers from {source}"] if source else lines)


def _decoding(ledger: Ledger) -> list[str]:
    cache, spec = ledger.cache, ledger.spec
    if cache is None:
        return ["decoding              a variant of this arm cannot decode"]
    text = f"{cache.bytes_per_token:,.0f} bytes/token of 2-byte elements, {cache.bytes_at_context:,.0f} at seq_len"
    if cache.windowed_layers:
        text += f"; {cache.windowed_layers} of {spec.n_layers} layers stop growing at their window"
    return [
        f"decode FLOPs/token    {ledger.decode_flops_per_token:,.0f} with {spec.seq_len:,} tokens in the cache",
        f"KV cache              {text}",
    ]


def _costs(module: ModuleCost) -> bool:
    return bool(module.flops.model or module.num_params)


def _alike(modules: Sequence[ModuleCost]) -> list[tuple[str, list[ModuleCost]]]:
    """Modules of different layers with one name and one cost, under `layers.*.attention.q x32`."""
    groups: dict[tuple[object, ...], list[ModuleCost]] = {}
    for module in modules:
        groups.setdefault((_general(module.name), module.flops, module.num_params), []).append(module)
    named = [(key[0], group) for key, group in groups.items()]
    return [(f"{name} x{len(group)}" if len(group) > 1 else group[0].name, group) for name, group in named]


def _general(name: str) -> str:
    return re.sub(r"^layers\.\d+\.", "layers.*.", name)


def _row(name: str, group: Sequence[ModuleCost], total: float, seq_len: int) -> str:
    n = len(group)
    flops, moved = group[0].flops, group[0].traffic.bytes_per_token(seq_len)
    intensity = group[0].arithmetic_intensity(seq_len)
    per_byte = f"{'-' if intensity is None else format(intensity, ',.1f'):>11}"
    share, num_params = n * flops.model / total, n * group[0].num_params
    return f"{name:<40}{n * flops.model:>20,.0f}{share:>7.1%}{num_params:>18,}{n * moved:>14,.0f}{per_byte}"


if __name__ == "__main__":
    sys.exit(main())
