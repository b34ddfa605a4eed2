"""From one preset to another, one slot or model option at a time: what does each step of a published design bring?

Presets that differ in several slots are as many steps: the slots in the registry's order, each with its options, then
the model options (biases, tied head, ...), then the rules of layers that differ. Sizes are the study's, not the
presets': the matcher solves the width of every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.spec.factors import choice_label
from harness.spec.spec import MODEL_OPTIONS, SIZE_FIELDS, Spec
from variants.errors import UserError
from variants.registry import SLOTS


@dataclass(frozen=True)
class Step:
    """The spec after one change. `reached` is the preset that it is, or empty."""

    name: str  # of what changes: "norm", "model.bias"; with the preset it leads to where one is changed twice
    before: str
    after: str
    spec: Spec
    reached: str
    since: tuple[str, Spec]  # the preset before it


def steps_along(presets: Sequence[tuple[str, Spec]]) -> list[Step]:
    """The steps through presets of one size.

    Raises:
        UserError: fewer than two presets, or two neighbours that are the same but for their sizes.
    """
    if len(presets) < 2:
        raise UserError("--path takes at least two presets, e.g. --path gpt2,llama")
    since, steps = presets[0], []
    spec = since[1]
    seen = {_without_sizes(spec): presets[0][0]}
    for name, target in presets[1:]:
        changes = list(_changes(spec, target))
        if not changes:
            raise UserError(f"{name} is {seen[_without_sizes(spec)]} at another size; leave one out of --path")
        for i, (what, before, after, fields) in enumerate(changes):
            spec = spec.replace(**fields)
            if _without_sizes(spec) in seen:
                raise UserError(f"--path comes back to where it was at {name}; end it before, or go another way")
            reached = name if i == len(changes) - 1 else ""
            seen[_without_sizes(spec)] = reached or what
            twice = any(step.name == what for step in steps)
            steps.append(Step(f"{what} ({name})" if twice else what, before, after, spec, reached, since))
        since = (name, spec)
    return steps


def _changes(spec: Spec, target: Spec) -> Iterator[tuple[str, str, str, dict[str, object]]]:
    """(what, label before, label after, fields of the spec) of each step to the target."""
    for slot in SLOTS:
        mine, theirs = spec.choice(slot), target.choice(slot)
        if mine != theirs:
            yield slot, choice_label(mine), choice_label(theirs), {slot: theirs}
    for option in MODEL_OPTIONS:
        mine, theirs = getattr(spec, option), getattr(target, option)
        if mine != theirs:
            yield f"model.{option}", str(mine).lower(), str(theirs).lower(), {option: theirs}
    if spec.layer_rules != target.layer_rules:
        before, after = (f"{len(s.layer_rules)} rules" for s in (spec, target))
        yield "layers that differ", before, after, {"layer_rules": target.layer_rules}


def _without_sizes(spec: Spec) -> Spec:
    default = Spec()
    return spec.replace(**{name: getattr(default, name) for name in SIZE_FIELDS})
