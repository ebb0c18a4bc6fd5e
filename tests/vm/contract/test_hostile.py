"""Code of any bytes is refused or runs safely."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vm.contract.hostile import Hostile
from vm.contract.verifier import decode_code
from vm.primitives.errors import DecodeError

CASES = 2_500


def test_hostile_code_is_refused_or_harmless() -> None:
    hostile = Hostile()
    for seed in range(CASES):
        hostile.run(seed)
    refused = sum(count for end, count in hostile.ends.items() if end.endswith("refused"))
    assert 200 < refused < CASES - 200, hostile.ends
    # Random instructions pass the verifier often enough to try the interpreter.
    assert sum(count for end, count in hostile.ends.items() if end.startswith("3 ran")) > 5


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_code(raw)
