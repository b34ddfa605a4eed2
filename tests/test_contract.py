"""Every registered variant keeps the contract that ships in harness.testing."""

from __future__ import annotations

import pytest

from harness.testing.contract import CHECKS
from variants import registry

VARIANTS = [(slot, name) for slot in registry.SLOTS for name in registry.names(slot)]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("slot", "name"), VARIANTS, ids=[f"{s}-{n}" for s, n in VARIANTS])
def test_contract(slot: str, name: str, check: str) -> None:
    CHECKS[check](slot, name)
