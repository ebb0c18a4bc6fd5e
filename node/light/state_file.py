"""What a light node keeps: its last verified header and who decided which heights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from node.ledger.block import decode_header
from node.ledger.proof_paths import Trust, TrustedBlock
from node.light.checked_file import MAX_BYTES, load_checked, save_checked
from node.light.headers import MAX_EPOCHS, HeaderChain
from node.light.work_headers import MAX_LINKS, Link, WorkHeaders
from vm.primitives.codec import Value, decode, decode_integer, encode_integer, encode_trusted
from vm.primitives.errors import BitenergyError, DecodeError

_log = logging.getLogger("bitenergy.light")

STATE_NAME: Final = "light.state"
STATE_TYPE: Final = 46
WORK_TYPE: Final = 47
VERSION: Final = 1
MAX_ITEMS: Final = 6 * MAX_LINKS


class LightStateDamaged(BitenergyError):
    """A light node's file that does not hold what was written."""

    default_code = "damaged"


def save_state(folder: Path, chain: HeaderChain) -> None:
    """Replace the file; raises OSError."""
    if chain.head is not None:
        fields = [_begin_bytes(chain), chain.head.encode(), chain.epochs]
        save_checked(folder / STATE_NAME, encode_trusted([STATE_TYPE, VERSION, *fields]))


def load_state(folder: Path, genesis: bytes, begin: Trust | TrustedBlock) -> HeaderChain:
    """Return the headers as they were kept, or at their beginning; raises LightStateDamaged.

    A file that began elsewhere than `begin` is left aside: whoever names another trusted block
    wants to begin there.
    """
    chain = HeaderChain(genesis, begin)
    try:
        value = decode(load_checked(folder / STATE_NAME), max_bytes=MAX_BYTES)
        match value:
            case (46, 1, bytes(kept), bytes(header), tuple(epochs)):
                if kept == _begin_bytes(chain):
                    chain.restore(decode_header(header), _epochs(epochs))
                else:
                    _log.warning("beginning anew: the configuration names another beginning")
            case _:
                raise DecodeError("not a light node's state of this version")
    except FileNotFoundError:
        pass
    except DecodeError as error:
        raise _damaged(folder, error) from error
    return chain


def save_work(folder: Path, headers: WorkHeaders) -> None:
    """Replace the file, where work decides; raises OSError."""
    links = [
        [link.block_id, link.difficulty, link.time_ms, encode_integer(link.total_work)]
        for link in headers.best.links
    ]
    fields = [_work_bytes(headers), headers.best.first, links]
    save_checked(folder / STATE_NAME, encode_trusted([WORK_TYPE, VERSION, *fields]))


def load_work(folder: Path, headers: WorkHeaders) -> None:
    """Have headers go on as they were kept, if they were; raises LightStateDamaged."""
    try:
        value = decode(load_checked(folder / STATE_NAME), max_bytes=MAX_BYTES, max_items=MAX_ITEMS)
        match value:
            case (47, 1, bytes(kept), int(first), tuple(entries)):
                if kept == _work_bytes(headers):
                    headers.restore(first, [_link(entry) for entry in entries])
                else:
                    _log.warning("beginning anew: the configuration names another beginning")
            case _:
                raise DecodeError("not a light node's state of this version")
    except FileNotFoundError:
        pass
    except DecodeError as error:
        raise _damaged(folder, error) from error


def _work_bytes(headers: WorkHeaders) -> bytes:
    return encode_trusted([headers.genesis, headers.begin.height, headers.begin.block_id])


def _link(entry: Value) -> Link:
    match entry:
        case (bytes(block_id), int(difficulty), int(time_ms), bytes(total)):
            return Link(block_id, difficulty, time_ms, decode_integer(total))
    raise DecodeError("a link is [id, difficulty, time, total work]")


def _damaged(folder: Path, error: DecodeError) -> LightStateDamaged:
    return LightStateDamaged(
        f"{folder / STATE_NAME} is damaged: {error}",
        hint="Nothing is lost with it: delete it, and the node verifies from its beginning on.",
    )


def _begin_bytes(chain: HeaderChain) -> bytes:
    begin = chain.begin
    which = begin.validators if isinstance(begin, Trust) else begin.block_id
    return encode_trusted([chain.genesis, isinstance(begin, Trust), begin.height, which])


def _epochs(entries: tuple[Value, ...]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for entry in entries:
        match entry:
            case (int(first), bytes(validators)) if len(validators) == 32:
                found.append((first, validators))
            case _:
                raise DecodeError("an epoch is [first height, hash of validators]")
    if not 1 <= len(found) <= MAX_EPOCHS:
        raise DecodeError("a state without epochs, or with too many")
    return found
