"""Every registered variant, forward and backward; one that is new is measured without an edit here."""

from __future__ import annotations

import pytest

from tests.benchmarks.regression.conftest import Compare
from tests.benchmarks.regression.variant_passes import passes_of
from variants import registry

VARIANTS = [(slot, name) for slot in registry.SLOTS for name in registry.names(slot)]
every_variant = pytest.mark.parametrize(("slot", "name"), VARIANTS, ids=[f"{s}-{n}" for s, n in VARIANTS])


@every_variant
def test_forward(compare: Compare, slot: str, name: str) -> None:
    passes = passes_of(slot, name)
    compare(passes.forward, passes.reference)


@every_variant
def test_backward(compare: Compare, slot: str, name: str) -> None:
    passes = passes_of(slot, name)
    assert passes.backward is not None, f"{slot}={name} gives nothing that a gradient goes through"
    compare(passes.backward, passes.reference)
