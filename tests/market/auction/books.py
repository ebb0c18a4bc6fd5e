"""Books of orders for tests, drawn and written."""

from __future__ import annotations

from hypothesis import strategies as st

from market.auction.orders import BUY, SELL, Order

KWH = 1_000_000
TOKEN = 1_000_000


def owner(number: int) -> bytes:
    """Return an account."""
    return number.to_bytes(20, "big")


def bid(number: int, energy: int, price: int, *, of: int | None = None) -> Order:
    """Return a bid of `energy` kWh at `price` tokens."""
    return Order(
        number, owner(number if of is None else of), BUY, energy * KWH, price * TOKEN, number
    )


def offer(number: int, energy: int, price: int, *, of: int | None = None) -> Order:
    """Return an offer of `energy` kWh at `price` tokens."""
    return bid(number, energy, price, of=of)._replace(side=SELL)


@st.composite
def books(
    draw: st.DrawFn, *, most: int = 12, owners: int = 0, one_sided: bool = False
) -> list[Order]:
    """Draw a book: few prices, so that ties abound, or any; energies of 1 mWh and of kWh."""
    prices = draw(
        st.sampled_from(
            [st.integers(0, 5), st.integers(1, 3).map(lambda p: p * TOKEN), st.integers(0, 2**40)]
        )
    )
    energies = draw(st.sampled_from([st.integers(1, 4), st.integers(1, 10 * KWH)]))
    count = draw(st.integers(0, most))
    order = draw(st.permutations(range(count)))
    sides: dict[int, int] = {}
    book = []
    for number in range(count):
        who = draw(st.integers(0, owners - 1)) if owners else number
        side = draw(st.sampled_from([BUY, SELL]))
        side = sides.setdefault(who, side) if one_sided else side
        book.append(Order(number, owner(who), side, draw(energies), draw(prices), order[number]))
    return book
