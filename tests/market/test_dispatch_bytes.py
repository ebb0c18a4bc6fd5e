"""The bytes of dispatch's leaves, of a figure, and of a board's message, frozen."""

from __future__ import annotations

import pytest

from market.dispatch_problem import Bid
from market.dispatch_records import (
    Area,
    AreaMoney,
    ResultRecord,
    Round,
    UnitRecord,
    area_key,
    bid_key,
    decode_area,
    decode_bid,
    decode_money,
    decode_result,
    decode_round,
    decode_unit,
    encode_bid,
    part_key,
    result_key,
    round_key,
    unit_key,
)
from market.dispatch_results import result_items, result_root
from tests.market.test_dispatch_check import two_buses
from tools.board.messages import CURVES, KIND_NAMES, Message, curves_body, decode_message
from vm.primitives.codec import encode_integer
from vm.primitives.errors import DecodeError, InvariantViolation

AREA = Area(2, "grid", "m", 60, 24, 30, 5_000, 1, 10**8, 7, 9, 1, 100, 1, 10**8, 9_999, 20)
MONEY = AreaMoney(1, 2, 3, 4, 5, 6)
UNIT = UnitRecord(b"o" * 20, "u", "b", 1, ((10**16, -(10**21), -5, 0),), ())
ROUND = Round(
    1,
    "grid",
    24,
    1,
    1_000,
    2_000,
    1,
    b"h" * 32,
    99,
    6,
    0,
    b"s" * 20,
    b"r" * 32,
    b"\x07",
    b"\x09",
    3,
    0,
)
RESULT = ResultRecord((encode_integer(10**21), b""), (600, 300, -900), (600,))
BID = Bid(0, 10**20, 0, 7)
CURVE = [((10**19, -(10**12)), (2 * 10**19, 10**12))]


def frozen() -> dict[str, tuple[bytes, str]]:
    """Return bytes as they are made, and as they were."""
    (root, items) = result_root(two_buses(), [RESULT]), result_items(two_buses(), [RESULT])
    message = Message(CURVES, 7, 0, 3, curves_body(CURVE))
    return {
        "area": (
            AREA.encode(),
            "dc0013500102a467726964a16d3c181ecd138801ce05f5e1000709016401ce05f5e100cd270f14",
        ),
        "money": (MONEY.encode(), "985101010203040506"),
        "unit": (
            UNIT.encode(),
            (
                "985201c4146f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6fa175a162019194c4072386f26f"
                "c10000c409c9ca36523a21600000fb0090"
            ),
        ),
        "round": (
            ROUND.encode(),
            (
                "dc0013530101a4677269641801cd03e8cd07d001c42068686868686868686868686868686868"
                "68686868686868686868686868686868630600c4147373737373737373737373737373737373"
                "737373c4207272727272727272727272727272727272727272727272727272727272727272c4"
                "0107c401090300"
            ),
        ),
        "result": (
            RESULT.encode(),
            "95540192c4093635c9adc5dea00000c40093cd0258cd012cd1fc7c91cd0258",
        ),
        "bid": (encode_bid(BID), "94c400c409056bc75e2d631000000007"),
        "price item": (items[0], "965c010000a141c4093635c9adc5dea00000"),
        "power item": (items[2], "965c010100a56368656170cd0258"),
        "flow item": (items[5], "965c010200a3412d42cd0258"),
        "root": (root, "08100a36698adf67ff333c7113a7d605a0dbd50e78d0374239cbf7c8dbb1c242"),
        "message": (
            message.encode(),
            (
                "975f0100070003919292c409008ac7230489e80000c406ff172b5af00092c40901158e460913"
                "d00000c40600e8d4a51000"
            ),
        ),
    }


@pytest.mark.parametrize("name", frozen())
def test_bytes_are_what_they_were(name: str) -> None:
    made, wanted = frozen()[name]
    assert made.hex() == wanted


def test_leaves_come_back() -> None:
    assert decode_area(AREA.encode()) == AREA
    assert decode_money(MONEY.encode()) == MONEY
    assert decode_unit(UNIT.encode()) == UNIT
    assert decode_round(ROUND.encode()) == ROUND
    assert decode_result(RESULT.encode()) == RESULT
    assert decode_bid(encode_bid(BID)) == BID
    for data in (AREA.encode(), b"\xc0"):
        with pytest.raises(InvariantViolation):
            decode_round(data)


def test_keys_are_apart() -> None:
    keys = [
        area_key("x"),
        unit_key(b"\0\2", 7),
        bid_key(b"\0\2", 7, 5),
        round_key(7),
        part_key(7, 1),
        result_key(7, 1),
    ]
    assert [key.hex() for key in keys] == [
        "646178",
        "6475000200000007",
        "64620002000000070000000000000005",
        "64720000000000000007",
        "647000000000000000070001",
        "647600000000000000070001",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        Message(len(KIND_NAMES), 1, 0, 1, None).encode(),
        Message(CURVES, -1, 0, 1, None).encode(),
        Message(CURVES, 1, 256, 1, None).encode(),
        Message(CURVES, 1, 0, -1, None).encode(),
        Message(CURVES, 1, 0, 1, None).encode() + b"\0",
        Message(CURVES, True, 0, 1, None).encode(),
    ],
)
def test_other_messages_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_message(data)
