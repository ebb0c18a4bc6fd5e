"""`huang` agrees with the public pymarket 0.7.6 on books with distinct prices.

Its answers are in pymarket.json, so that the comparison needs neither it nor its old pandas;
pymarket_answers.py wrote them, and `make agreement` asks it again.
"""

from __future__ import annotations

import json

from market.auction.huang import clear_huang
from market.auction.orders import BUY, SELL, Order
from tests.market.auction.books import KWH, TOKEN, owner
from tests.market.auction.pymarket_answers import BOOKS, PATH, draw_book

ROUNDED_KWH = 3e-6
SEED = b"s" * 32


def test_quantities_and_prices_agree() -> None:
    answers = json.loads(PATH.read_text())
    traded = 0
    for answer in answers:
        book = [
            Order(number, owner(number), side, energy, price * TOKEN, number)
            for number, (side, energy, price) in enumerate(answer["orders"])
        ]
        clearing = clear_huang(book, SEED)
        ours = {
            BUY: clearing.buyer_price_half_micro_per_kwh,
            SELL: clearing.seller_price_half_micro_per_kwh,
        }
        for side, price in zip((BUY, SELL), answer["prices"], strict=True):
            assert ours[side] == (None if price is None else 2 * TOKEN * price), answer
        for award, energy in zip(clearing.awards, answer["kwh"], strict=True):
            assert abs(award.energy_milli_wh / KWH - energy) <= ROUNDED_KWH, answer
        traded += clearing.volume_milli_wh > 0
    assert traded > BOOKS // 2


def test_the_books_are_those_that_were_drawn() -> None:
    """Nobody picked them."""
    answers = json.loads(PATH.read_text())
    assert [answer["orders"] for answer in answers] == [
        [list(row) for row in draw_book(seed)] for seed in range(BOOKS)
    ]
