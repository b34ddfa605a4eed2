"""Renew the golden numbers of this class of machine, with a reason.

    tox -e numerics-update -- "attention scales its scores in fp32"

Prints what changed in each family; where nothing did, the file stays as it is.
"""

from __future__ import annotations

import datetime
import sys

from tests.numerics import golden
from tests.numerics.compare import same, sentences
from tests.numerics.families import families
from tests.numerics.record import SEQ_LEN, SIZE, numbers_of


def main(arguments: list[str]) -> int:
    """0, or 2 without a reason."""
    reason = " ".join(arguments).strip()
    if not reason:
        print('error: say why the numbers change: tox -e numerics-update -- "the reason"', file=sys.stderr)
        return 2
    now = {name: numbers_of(spec) for name, spec in families(SIZE, SEQ_LEN).items()}
    path = golden.own_path()
    before = golden.find() if path.exists() else None
    known = {} if before is None else before.families
    for name in now:
        if name not in known:
            print(f"{name}: new")
        elif not same(known[name], now[name]):
            print("\n".join(sentences(name, known[name], now[name], exact=True)))
    if before is not None and known == now:
        print(f"nothing changed; {path.name} stays as it is")
        return 0
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    history = () if before is None else before.history
    golden.write(path, now, (*history, {"date": today, "reason": reason}))
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
