"""A few of the chains that `tests.market.random_calls` draws."""

from __future__ import annotations

import pytest

from tests.market.random_calls import RandomCalls, make_pages_small


@pytest.mark.parametrize("number", [1, 2, 3])
def test_random_calls_conserve_and_nothing_due_fails(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pages_small(monkeypatch.setattr)
    chain = RandomCalls(number)
    chain.run_blocks(120)
    chain.check_index()
    assert chain.done.total() > 200
    assert chain.done["day.place"] > 30
    assert chain.done["meters.submit"] > 20
