"""A claim as it is declared: one TOML file a claim, read into frozen data and checked here. docs/claims.md explains it.

A file says what is claimed and by whom, which arms are trained, and a few questions: each is a measure (how a number
with an interval is had), a rule (how the number becomes a word) and the rule's limits. Arms are checked against the
variants when a ledger is planned; everything else is checked here.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from variants.errors import UserError, nearest

FOLDER = Path(__file__).parents[2] / "claims"
"""Where the article's claims are declared."""

MEASURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "contrast": (("weights",), ("score",)),  # of arms' means, paired over seeds
    "compute": (
        ("arm", "ladder"),
        ("score", "timing"),
    ),  # the baseline's compute for the arm's loss, over the arm's own
    "speed": (("timing", "arm", "case"), ("batch", "context")),  # tokens/s against the timing's first arm, in percent
    "latency": (("timing", "arm"), ("batch",)),  # of a decoded token: growth over the contexts, in percent
    "memory": (("timing", "arm"), ()),  # peak of a training step against the timing's first arm, in percent
    "kernel": (("mode", "width"), ("backward",)),  # time of a norm alone over LayerNorm's
    "count": (("arm", "field"), ("against",)),  # of an arm: parameters, FLOPs; over another arm's
    "check": (("check", "value"), ()),  # an exact number, without training
    "untested": (("reason",), ()),
}
"""Each with the keys it must have and those it may have."""

RULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "below": ((), ("null", "sesoi")),
    "above": ((), ("null", "sesoi")),
    "equal": (("margin",), ("null",)),
    "range": (("low", "high"), ()),
    "at_least": (("value_claimed",), ("null",)),
    "at_most": (("value_claimed",), ("null",)),
    "exact": ((), ("tolerance", "expected")),
    "untested": ((), ()),
}
"""Each with its limits; harness/analyse/words.py says what they mean."""

WITH_SEEDS = ("contrast", "compute")
"""Measures whose interval is Student's over seeds, which Holm's correction can widen."""

_QUESTION = ("name", "says", "measure", "rule", "unit", "confirmatory", "decimals", "note")
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,19}")


@dataclass(frozen=True)
class Source:
    """`key` is that of the reference page; `figures` are as published there, `caveat` what must be said with them."""

    key: str
    where: str
    figures: str
    caveat: str = ""


@dataclass(frozen=True)
class ClaimArm:
    """`lr`, `batch` and `budget` multiply the ledger's learning rate, tokens a step and training FLOPs; `precision` is
    what it trains in, fp32 or bf16.
    """

    name: str
    tokens: tuple[str, ...] = ()
    seeds: int | None = None  # None: the claim's
    lr: float = 1.0
    batch: int = 1
    budget: float = 1.0
    precision: str = "fp32"
    match: str | None = None  # None: the claim's
    scores: tuple[str, ...] = ()  # beside the claim's


@dataclass(frozen=True)
class Timing:
    """Arms timed side by side in one process, the first of `arms` being what the others are held against."""

    name: str
    arms: tuple[str, ...]
    size: str | None = None  # None: the ledger's
    compiled: bool = False
    batch: tuple[int, ...] = ()  # of prefill and decoding; none: training alone
    contexts: tuple[float, ...] = ()  # to decode at, in training lengths
    trained: bool = False  # whether the arms have the weights of their first finished runs


@dataclass(frozen=True)
class Question:
    """One number and the word it allows. `of` are the measure's keys, `limits` the rule's."""

    name: str
    says: str
    measure: str
    rule: str
    unit: str
    of: dict[str, Any]
    limits: dict[str, float]
    confirmatory: bool = False
    decimals: int = 4
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """`questions[0]` is the claim itself: its word is the claim's. A claim of arithmetic has no arms."""

    id: str
    title: str
    statement: str
    sources: tuple[Source, ...]
    matched: str
    arms: tuple[ClaimArm, ...]
    questions: tuple[Question, ...]
    timings: tuple[Timing, ...] = ()
    match: str = "flops"
    seeds: int = 5
    heads: int | None = None
    scores: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    shortfall: str = ""  # of the reference page's own protocol

    @property
    def trains(self) -> bool:
        return any(q.measure in WITH_SEEDS for q in self.questions) or any(t.trained for t in self.timings)

    def arm(self, name: str) -> ClaimArm:
        return next(arm for arm in self.arms if arm.name == name)

    def seeds_of(self, arm: ClaimArm) -> int:
        return self.seeds if arm.seeds is None else arm.seeds


def read_claims(folder: Path = FOLDER) -> list[Claim]:
    """Every `*.toml` in `folder`, in the order of their numbers.

    Raises:
        UserError: the folder has none, a file is broken, or two claims have one id.
    """
    paths = sorted(folder.glob("*.toml"), key=lambda path: _natural(path.stem))
    if not paths:
        raise UserError(f"{folder} has no claims; give a folder with a TOML file a claim, see docs/claims.md")
    claims = [read_claim(path) for path in paths]
    for claim, path in zip(claims, paths, strict=True):
        if claim.id != path.stem:
            raise UserError(f"{path} declares the claim {claim.id!r}; name the file {claim.id}.toml")
    return claims


def choose_claims(claims: Sequence[Claim], ids: Sequence[str]) -> list[Claim]:
    """The claims of these ids in their own order; all of them for none.

    Raises:
        UserError: there is no such claim.
    """
    known = {claim.id.lower(): claim for claim in claims}
    for name in ids:
        if name.lower() not in known:
            raise UserError(f"unknown claim {name!r}{nearest(name.upper(), [c.id for c in claims])}; see --list")
    wanted = {name.lower() for name in ids}
    return [claim for claim in claims if not ids or claim.id.lower() in wanted]


def read_claim(path: Path) -> Claim:
    """The claim that a file declares.

    Raises:
        UserError: the file cannot be read, is not TOML, or declares something that cannot be; one sentence with the
            file's name.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    return claim_from(data, str(path))


def claim_from(data: Mapping[str, Any], what: str) -> Claim:
    """A claim from its TOML data, `what` naming it in errors."""
    renamed = {"source": "sources", "arm": "arms", "timing": "timings", "question": "questions"}
    data = {renamed.get(key, key): value for key, value in data.items()}
    made = {
        "sources": [_made(Source, item, f"{what}: a source") for item in _tables(data, "sources", what)],
        "arms": [_made(ClaimArm, item, f"{what}: an arm") for item in _tables(data, "arms", what)],
        "timings": [_made(Timing, item, f"{what}: a timing") for item in _tables(data, "timings", what)],
        "questions": [_question(item, what) for item in _tables(data, "questions", what)],
    }
    claim = _made(Claim, {**data, **made}, what)
    _check(claim, what)
    return claim


def claim_json(claim: Claim) -> dict[str, Any]:
    """The declaration as plain data; `claim_from_json` reads it back."""
    return dataclasses.asdict(claim)


def claim_from_json(data: Mapping[str, Any]) -> Claim:
    """What `claim_json` wrote."""
    parts = {"sources": Source, "arms": ClaimArm, "timings": Timing, "questions": Question}
    made = {key: tuple(kind(**_tupled(item)) for item in data[key]) for key, kind in parts.items()}
    return Claim(**_tupled({**data, **made}))


def _tupled(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _tables(data: Mapping[str, Any], key: str, what: str) -> list[dict[str, Any]]:
    items = data.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UserError(f"{what}: {key} are tables, each under [[{key.removesuffix('s')}]]")
    return items


_KINDS = {"str": str, "int": int, "float": float, "bool": bool, "tuple": list, "dict": dict}


def _made(kind: type[Any], data: Mapping[str, Any], what: str) -> Any:
    """A dataclass from a table, every key known, none missing, each of its type."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in data:
        if key not in fields:
            raise UserError(f"{what} has the unknown key {key!r}{nearest(key, fields)}")
    for name, f in fields.items():
        needed = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if needed and name not in data:
            raise UserError(f"{what} lacks {name!r}")
    return kind(**{key: _typed(value, str(fields[key].type), f"{what}: {key}") for key, value in data.items()})


def _typed(value: Any, annotation: str, what: str) -> Any:
    wanted = next(kind for kind in _KINDS if annotation.startswith(kind))
    if wanted == "float" and type(value) is int:
        return float(value)
    if type(value) is not _KINDS[wanted]:
        raise UserError(f"{what} takes a {'list' if wanted == 'tuple' else wanted}, got {value!r}")
    return tuple(value) if wanted == "tuple" else value


def _question(item: dict[str, Any], what: str) -> Question:
    what = f"{what}: question {item.get('name', '')!r}"
    for key in ("name", "says", "measure", "rule"):
        if not isinstance(item.get(key), str):
            raise UserError(f"{what} lacks {key!r}")
    measure, rule = item["measure"], item["rule"]
    for word, known, kind in ((measure, MEASURES, "measure"), (rule, RULES, "rule")):
        if word not in known:
            raise UserError(f"{what} has the unknown {kind} {word!r}{nearest(word, known)}")
    needed, may = MEASURES[measure]
    limits_needed, limits_may = RULES[rule]
    allowed = (*_QUESTION, *needed, *may, *limits_needed, *limits_may)
    for key in item:
        if key not in allowed:
            raise UserError(f"{what} has the unknown key {key!r}{nearest(key, allowed)}")
    for key in (*needed, *limits_needed):
        if key not in item:
            raise UserError(f"{what} lacks {key!r}, which {'the measure ' + measure if key in needed else rule} takes")
    limits = {key: item[key] for key in (*limits_needed, *limits_may) if key in item}
    if not all(type(value) in (int, float) for value in limits.values()):
        raise UserError(f"{what}: the limits of a rule are numbers, got {limits}")
    common = {key: item[key] for key in _QUESTION if key in item}
    of = {key: item[key] for key in (*needed, *may) if key in item}
    return _made(Question, {"unit": "", **common, "of": of, "limits": limits}, what)


def _check(claim: Claim, what: str) -> None:
    """What a single key cannot say: names that meet, arms that exist, a rule that fits its measure."""
    if not _ID.fullmatch(claim.id):
        raise UserError(f"{what}: an id is a letter and at most 19 letters, digits, - and _, got {claim.id!r}")
    if not claim.questions:
        raise UserError(f"{what} asks no question; declare at least one [[question]]")
    if claim.match not in ("flops", "params", "tokens"):
        raise UserError(f"{what}: match is flops, params or tokens, got {claim.match!r}")
    for arm in claim.arms:
        if arm.precision not in ("fp32", "bf16"):
            raise UserError(f"{what}: the arm {arm.name!r}: precision is fp32 or bf16, got {arm.precision!r}")
    arms, timings = [arm.name for arm in claim.arms], [timing.name for timing in claim.timings]
    for kind, names in (("arm", arms), ("timing", timings), ("question", [q.name for q in claim.questions])):
        if len(set(names)) < len(names):
            raise UserError(f"{what}: every {kind} has a name of its own, got {names}")
    used = [(t.name, arm) for t in claim.timings for arm in t.arms]
    for q in claim.questions:
        used += [(q.name, arm) for arm in _arms_of(q, what)]
        timing = q.of.get("timing")
        if timing is not None and timing not in timings:
            raise UserError(f"{what}: {q.name} asks for the timing {timing!r}{nearest(timing, timings)}")
        if q.confirmatory and q.measure not in WITH_SEEDS:
            raise UserError(f"{what}: {q.name} is confirmatory, which only {' and '.join(WITH_SEEDS)} can be")
        if (q.measure == "untested") != (q.rule == "untested"):
            raise UserError(f"{what}: {q.name} is untested in its measure or its rule and not in both")
    for user, arm in used:
        if arm not in arms:
            raise UserError(f"{what}: {user} names the arm {arm!r}{nearest(arm, arms)}, which is not declared")


def _arms_of(q: Question, what: str) -> list[str]:
    if q.measure == "contrast":
        weights = q.of["weights"]
        if not isinstance(weights, dict) or not weights or any(type(w) not in (int, float) for w in weights.values()):
            raise UserError(
                f"{what}: {q.name}: weights are numbers by arm, {{ swiglu = 1, gelu = -1 }}, got {weights!r}"
            )
        return list(weights)
    names = [q.of[key] for key in ("arm", "against") if key in q.of]
    return [*names, *cast("list[str]", q.of.get("ladder", []))]


def _natural(name: str) -> list[Any]:
    """C2 before C10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


@dataclass(frozen=True)
class Family:
    """The confirmatory questions of all declared claims, [claim, question]: Holm's family, whatever is run of it."""

    members: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def of(cls, claims: Sequence[Claim]) -> Family:
        return cls(tuple((c.id, q.name) for c in claims for q in c.questions if q.confirmatory))
