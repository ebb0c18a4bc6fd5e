"""The proof of one figure of a dispatch round: fetched from a node, and checked from genesis on."""

from __future__ import annotations

from dataclasses import dataclass

from market.dispatch_records import decode_round, round_key
from market.dispatch_results import ITEM_NAMES, ITEM_TYPE, VERSION
from tools.client import base64_field, integer_field, text_field
from tools.proofs import verify_state_proof
from tools.session import Session
from vm.primitives.codec import decode, decode_integer
from vm.primitives.errors import InvalidProof
from vm.primitives.merkle import MerkleProof, verify_merkle_proof

MAX_ITEM_BYTES = 256


@dataclass(frozen=True, slots=True)
class ProvedFigure:
    """A figure that is proved."""

    figure: int
    """A price in 1e-24 $/Wh, or a power in W."""
    height: int
    """The block in whose state it is proved."""


def fetch_figure(
    session: Session, number: int, kind: str, interval: int, name: str
) -> ProvedFigure:
    """Return one figure of a round, proved; raises InvalidProof, ToolError or a ClientError."""
    answer = session.client().get(
        f"/dispatch/rounds/{number}/proof", kind=kind, interval=interval, name=name
    )
    leaf, header = verify_state_proof(session, base64_field(answer, "proof"), round_key(number))
    if leaf is None:
        raise InvalidProof("the state has no such round", actual=number)
    siblings = answer.get("siblings")
    try:
        item = bytes.fromhex(text_field(answer, "item"))
        beside = tuple(map(bytes.fromhex, siblings if isinstance(siblings, list) else ()))
    except (TypeError, ValueError) as error:
        raise InvalidProof("the proof is not in hexadecimal digits") from error
    path = MerkleProof(integer_field(answer, "index"), integer_field(answer, "count"), beside)
    if not verify_merkle_proof(decode_round(leaf).root, item, path):
        raise InvalidProof("the figure does not lead to the round's root")
    match decode(item, max_bytes=MAX_ITEM_BYTES):
        case (int(type_), int(version), int(what), int(place), str(named), figure) if (
            type_,
            version,
            place,
            named,
        ) == (ITEM_TYPE, VERSION, interval, name) and ITEM_NAMES.index(kind) == what:
            value = decode_integer(figure) if isinstance(figure, bytes) else int(str(figure))
            return ProvedFigure(value, header.height)
    raise InvalidProof("the proof is of another figure", actual=item)
