"""`huang` agrees with the public pymarket 0.7.6 on books with distinct prices.

It merges equal prices, which makes lying profitable, so books with ties are left out on purpose.
"""

from __future__ import annotations

import random

import pytest

from market.auction.huang import clear_huang
from market.auction.orders import BUY, Order
from tests.market.auction.books import KWH, TOKEN, owner

WHY = "pip install '.[agreement]' brings pymarket 0.7.6 and a pandas that it can use"
pymarket = pytest.importorskip("pymarket", reason=WHY, exc_type=ImportError)

ROUNDED_KWH = 3e-6


@pytest.mark.parametrize("seed", range(40))
def test_quantities_and_prices_agree(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randint(2, 40)
    prices = rng.sample(range(1, 10 * count), count)
    book = [
        Order(n, owner(n), rng.randrange(2), rng.randint(1, 5 * KWH), prices[n] * TOKEN, n)
        for n in range(count)
    ]
    market = pymarket.Market()
    for order in book:
        market.accept_bid(
            order.energy_milli_wh / KWH,
            order.price_micro_per_kwh / TOKEN,
            order.number,
            order.side == BUY,
        )
    transactions, _ = market.run("huang")
    theirs = dict.fromkeys(range(count), 0.0)
    for row in transactions.get_df().to_dict("records"):
        theirs[row["bid"]] += row["quantity"]
        ours = clear_huang(book, b"s" * 32)
        expected = (
            ours.buyer_price_half_micro_per_kwh
            if book[row["bid"]].side == BUY
            else ours.seller_price_half_micro_per_kwh
        )
        if row["quantity"]:
            assert expected == 2 * TOKEN * row["price"]
    for award in clear_huang(book, b"s" * 32).awards:
        assert abs(award.energy_milli_wh / KWH - theirs[award.number]) <= ROUNDED_KWH, seed
