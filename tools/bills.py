"""A member's bill of a month: fetched from a node, and checked line by line from genesis on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from market.day.bills import PART_NAMES, parse_month
from market.day.lines import KIND_NAMES, LINE_TYPE, VERSION
from market.day.settlement_records import (
    HEAD_SPACE,
    TOTALS_SPACE,
    decode_head,
    decode_totals,
    page_place,
    totals_place,
)
from tools.client import base64_field, integer_field, list_field, object_field, text_field
from tools.errors import Json, ToolError
from tools.proofs import StateVerifier
from tools.session import Session
from vm.primitives.address import decode_address, encode_address
from vm.primitives.codec import decode
from vm.primitives.errors import InvalidProof
from vm.primitives.merkle import MerkleProof, verify_merkle_proof

MAX_ITEM_BYTES: Final = 512
INTERVALS_PER_REQUEST: Final = 96

Progress = Callable[[int, int], None]
"""Told how many intervals of how many are checked."""


@dataclass(frozen=True, slots=True)
class Bill:
    """A bill as the node gives it."""

    market: str
    """The day market."""
    account: bytes
    """Whose bill it is."""
    month: str
    """The local month."""
    totals: Json
    """Its totals, as in the answer."""
    lines: tuple[Json, ...]
    """Its lines, as in the answers."""


@dataclass(frozen=True, slots=True)
class CheckedBill:
    """What was proved of a bill."""

    lines: int
    """Lines that are proved, which is all of them."""
    height: int
    """The last block in whose state something is proved."""
    totals_are_proved: bool
    """Whether the lines add up to totals that are proved, so that none is missing."""


def choose_market(session: Session, name: str | None) -> str:
    """Return the day market that is meant; the network's only one if none is named."""
    names = [
        text_field(market, "name")
        for market in list_field(session.client().get("/day-markets"), "markets")
    ]
    if name is not None:
        return name
    if len(names) == 1:
        return names[0]
    raise ToolError(
        "which day market?" if names else "this network has no day market",
        code="usage",
        hint=f"Name it with --market: {', '.join(names)}." if names else "",
    )


def fetch_bill(session: Session, market: str, who: str, month: str) -> Bill:
    """Return a member's bill, all its lines; the client signs already. Raises a ClientError."""
    client = session.client()
    path = f"/day-markets/{quote(market, safe='')}/bills/{quote(who, safe='')}/{month}"
    lines: list[Json] = []
    following: int | None = None
    while True:
        answer = client.get(path, first=following, limit=INTERVALS_PER_REQUEST)
        lines += list_field(answer, "lines")
        if answer.get("next") is None:
            break
        following = integer_field(answer, "next")
    account = decode_address(text_field(answer, "address"))
    return Bill(market, account, month, object_field(answer, "totals"), tuple(lines))


def check_bill(session: Session, bill: Bill, progress: Progress) -> CheckedBill:
    """Check every line of a bill, and that they add up to totals that are proved.

    Raises InvalidProof, ToolError or a ClientError.
    """
    verifier = StateVerifier(session)
    wanted: dict[int, list[tuple[object, ...]]] = {}
    for line in bill.lines:
        wanted.setdefault(integer_field(line, "interval"), []).append(_shown(line))
    height = done = 0
    for interval, lines in wanted.items():
        progress(done, len(wanted))
        proved, at = _prove_interval(session, verifier, bill, interval)
        if sorted(map(repr, proved)) != sorted(map(repr, lines)):
            raise InvalidProof("the lines shown are not those that are proved", actual=interval)
        height = max(height, at)
        done += 1
    progress(done, len(wanted))
    return CheckedBill(len(bill.lines), *_check_totals(session, verifier, bill, height))


def _shown(line: Mapping[str, object]) -> tuple[object, ...]:
    names = ("part", "kind", "energy_milli_wh", "value", "amount_micro")
    return tuple([line[name] for name in names])


def _prove_interval(
    session: Session, verifier: StateVerifier, bill: Bill, interval: int
) -> tuple[list[tuple[object, ...]], int]:
    """Return the lines of an interval that are proved, and the block in whose state."""
    market, who = quote(bill.market, safe=""), encode_address(bill.account)
    answer = session.client().get(f"/proofs/bill-lines/{market}/{who}/{interval}")
    number = integer_field(answer, "number")
    found: list[tuple[object, ...]] = []
    height = 0
    for page in list_field(answer, "pages"):
        part = PART_NAMES.index(text_field(page, "part"))
        place = page_place(number, interval, part, integer_field(page, "page"))
        leaf, header = verifier.verify(base64_field(page, "proof"), HEAD_SPACE + place)
        if leaf is None:
            raise InvalidProof("the state has no such page", actual=interval)
        root = decode_head(leaf).root
        for line in list_field(page, "lines"):
            found.append(_prove_line(line, root, bill, (interval, part)))
        height = header.height
    return found, height


def _prove_line(
    line: Mapping[str, object], root: bytes, bill: Bill, where: tuple[int, int]
) -> tuple[object, ...]:
    """Return a line that leads to the root of its page; raises InvalidProof."""
    siblings = line.get("siblings")
    try:
        item = bytes.fromhex(text_field(line, "item"))
        beside = tuple(map(bytes.fromhex, siblings if isinstance(siblings, list) else ()))
    except (TypeError, ValueError) as error:
        raise InvalidProof("the proof is not in hexadecimal digits") from error
    path = MerkleProof(integer_field(line, "index"), integer_field(line, "count"), beside)
    if not verify_merkle_proof(root, item, path):
        raise InvalidProof("a line does not lead to the root of its page", actual=where[0])
    fields = decode(item, max_bytes=MAX_ITEM_BYTES)
    head = (LINE_TYPE, VERSION, bill.market, *where, bill.account)
    if isinstance(fields, tuple) and fields[:6] == head:
        match fields[6:]:
            case (int(kind), int(energy), bytes(value), int(amount)):
                exact = str(int.from_bytes(value, "big", signed=True))
                return PART_NAMES[where[1]], KIND_NAMES[kind], energy, exact, amount
    raise InvalidProof("a line is of another member, market or interval", actual=item)


def _check_totals(
    session: Session, verifier: StateVerifier, bill: Bill, height: int
) -> tuple[int, bool]:
    """Check that the lines add up to the totals in the state; return where, and whether."""
    market, who = quote(bill.market, safe=""), encode_address(bill.account)
    answer = session.client().get(f"/proofs/bill-totals/{market}/{who}/{bill.month}")
    month = parse_month(bill.month) or 0
    place = totals_place(integer_field(answer, "number"), bill.account, month)
    leaf, header = verifier.verify(base64_field(answer, "proof"), TOTALS_SPACE + place)
    totals = decode_totals(leaf)
    sums = dict.fromkeys(KIND_NAMES, (0, 0))
    for line in bill.lines:
        energy, amount = sums[text_field(line, "kind")]
        energy += integer_field(line, "energy_milli_wh")
        sums[text_field(line, "kind")] = energy, amount + integer_field(line, "amount_micro")
    proved = zip(totals.energies_milli_wh, totals.amounts_micro, strict=True)
    is_whole = list(sums.values()) == list(proved) and totals.lines == len(bill.lines)
    return max(height, header.height), is_whole
