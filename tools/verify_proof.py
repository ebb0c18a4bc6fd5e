"""A verifier of bitenergy proofs in one file: read it whole, then trust what it says.

    python verify_proof.py genesis.json|HEIGHT:BLOCK_ID PROOF

It says "yes" and what was proved (exit status 0), or "no" and the first thing that does not hold
(1). PROOF is a file that `bitenergy proof` wrote. From a source that you trust you need the genesis
file, or height and id of the block where the proof begins; under proof of work, those of its own.
It needs libsodium alone (`pip install pynacl`). Each set of validators is named by the one before;
those of genesis may have turned bad since. docs/protocol.md explains the bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from nacl import bindings, exceptions

Value = None | bool | int | bytes | str | list["Value"] | dict["Value", "Value"]
EMPTY, QUALITY = bytes(32), ("none", "measured", "interpolated", "mean", "zero")
HEADER = """genesis height time_ms parent last_commit evidence_root transactions_root state_root
    receipts_root validators next_validators parameters gas_used proposer seal""".split()
ACCOUNT = """key roles status nonce money_micro money_reserved_micro energy_milli_wh
    energy_reserved_milli_wh""".split()
# MessagePack: first byte -> what follows, and bytes of its length (of the number itself).
LONG = {low + step: (int, 1 << step) for low in (0xCC, 0xD0) for step in range(4)}
LONG |= {low + s: (kind, 1 << s) for low, kind in ((0xC4, bytes), (0xD9, str)) for s in range(3)}
LONG |= {0xDC: (list, 2), 0xDD: (list, 4), 0xDE: (dict, 2), 0xDF: (dict, 4)}
SHORT = {dict: (0x80, 16), list: (0x90, 16), str: (0xA0, 32)}
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class Refused(Exception):
    """What was given does not prove anything."""


class Trust(NamedTuple):
    """Who decides a network's blocks from `height` on; or, by its id, one block at `height`."""

    genesis: bytes
    validators: bytes
    height: int
    block_id: bytes = b""


def require(condition: object, reason: str) -> None:
    """Raise Refused with `reason` unless `condition` holds."""
    if not condition:
        raise Refused(reason)


def tagged(name: str, data: bytes) -> bytes:
    """Return SHA-256 of a tag and `data`."""
    return hashlib.sha256(bytes([len(name)]) + name.encode() + data).digest()


def is_array(value: Value, *kinds: type) -> bool:
    """Tell whether `value` is an array of exactly these kinds (True is no number)."""
    return isinstance(value, list) and [type(item) for item in value] == list(kinds)


def decode(data: bytes) -> Value:
    """Return the value of canonical bytes; whatever would not encode to them is refused."""
    try:
        value, end = _read(data, 0, 16)
        require(end == len(data) and encode(value) == data, "the encoding is not canonical")
    except (IndexError, TypeError, UnicodeError):
        raise Refused("the bytes are not MessagePack") from None
    return value


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    first, at = data[at], at + 1
    if first <= 0x7F or first >= 0xE0:
        return (first if first <= 0x7F else first - 256), at
    if first in CONSTANTS:
        return CONSTANTS[first], at
    if first in LONG:
        (kind, width), signed = LONG[first], 0xD0 <= first <= 0xD3
        number, at = int.from_bytes(data[at : at + width], "big", signed=signed), at + width
    else:
        require(first <= 0xBF, "floats and extension types are not used")
        kind = str if first >= 0xA0 else list if first >= 0x90 else dict
        number = first - SHORT[kind][0]
    if kind is int:
        return number, at
    require(number <= len(data) - at, "the bytes end in the middle of a value")
    if kind in (bytes, str):
        return (data[at:][:number] if kind is bytes else data[at:][:number].decode()), at + number
    require(depth > 0, "the value nests too deeply")
    items: list[Value] = []
    for _ in range(number if kind is list else 2 * number):
        item, at = _read(data, at, depth - 1)
        items.append(item)
    if kind is list:
        return items, at
    require({type(key) for key in items[::2]} <= {int, bytes, str}, "this is no key of a map")
    return dict(zip(items[::2], items[1::2], strict=True)), at


def encode(value: Value) -> bytes:
    """Return the canonical bytes of a value: each part in its shortest form, keys ascending."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        if -32 <= value <= 127:
            return value.to_bytes(1, "big", signed=True)
        for first, (kind, width) in LONG.items():
            low, high = (-1 << 8 * width - 1, 0) if first >= 0xD0 else (0, 1 << 8 * width)
            if kind is int and low <= value < high:
                return bytes([first]) + value.to_bytes(width, "big", signed=first >= 0xD0)
        raise Refused("a number has more than 64 bits")
    if isinstance(value, bytes | str):
        data = value if isinstance(value, bytes) else value.encode("utf-8")
        return _head(type(value), len(data)) + data
    if isinstance(value, list):
        return _head(list, len(value)) + b"".join(map(encode, value))
    require(isinstance(value, dict), "such a value has no encoding")
    pairs = sorted((encode(key), encode(item)) for key, item in value.items())
    return _head(dict, len(value)) + b"".join(key + item for key, item in pairs)


def _head(kind: type, size: int) -> bytes:
    if kind in SHORT and size < SHORT[kind][1]:
        return bytes([SHORT[kind][0] + size])
    width, first = min((w, f) for f, (k, w) in LONG.items() if k is kind and size < 1 << 8 * w)
    return bytes([first]) + size.to_bytes(width, "big")


def read_header(data: bytes) -> dict[str, Value]:
    """Return the fields of a header, and its block's id."""
    value = decode(data)
    kinds = [int if name in ("height", "time_ms", "gas_used") else bytes for name in HEADER]
    require(is_array(value, int, int, *kinds) and value[:2] == [2, 1], "not a header")
    return dict(zip(HEADER, value[2:], strict=True)) | {"block_id": tagged("header", data)}


def verify_finality(step: list[bytes], trust: Trust) -> dict[str, Value]:
    """Return the header of a step that more than two thirds of the trusted validators signed."""
    header = read_header(step[0])
    place = (header["height"], header["block_id"])
    if trust.block_id:
        require(place == (trust.height, trust.block_id), "the proof begins at another block")
        return header
    require(header["genesis"] == trust.genesis, "the proof is of another network")
    require(header["height"] >= trust.height, "the blocks of the proof do not ascend")
    require(header["validators"] == trust.validators, "the block is not of the trusted validators")
    require(tagged("validators", step[2]) == trust.validators, "these are other validators")
    # Their hash is trusted, and so is what they are: [vote key, power, account] in order.
    validators, commit = decode(step[2])[2], decode(step[1])
    require(is_array(commit, *[int] * 4, bytes, list) and 0 <= commit[3] < 2**31, "no certificate")
    require(commit[:3] + commit[4:5] == [4, 1, *place], "the certificate is of another block")
    digest = tagged("vote/sign", encode([trust.genesis, 2, *commit[2:5]]))
    weight, previous, total = 0, -1, sum(power for _, power, _ in validators)
    require(all(is_array(signer, int, bytes) for signer in commit[5]), "not a signer")
    for index, signature in commit[5]:
        fits = previous < index < len(validators) and len(signature) == 64
        require(fits, "signers ascend, each a validator, each once")
        try:
            bindings.crypto_sign_open(signature + digest, validators[index][0])
        except exceptions.CryptoError:
            raise Refused(f"the signature of validator {index} is wrong") from None
        weight, previous = weight + validators[index][1], index
    require(weight * 3 > total * 2, f"power {weight} of {total} is not more than two thirds")
    return header


def follow(steps: list[list[bytes]], trust: Trust) -> dict[str, Value]:
    """Return the last step's header; each step is decided by those whom the one before named."""
    for step in steps:
        header = verify_finality(step, trust)
        trust = Trust(header["genesis"], header["next_validators"], header["height"] + 1)
    return header


def verify_state(root: bytes, key: bytes, value: bytes | None, way: Value) -> None:
    """Raise Refused unless the state with `root` holds `value` (None: nothing) at `key`."""
    require(is_array(way, bytes, bytes, bytes), "not a state proof")
    bitmap, joined, other = way
    siblings = [joined[at : at + 32] for at in range(0, len(joined), 32)]
    require(len(bitmap) <= 128 and max(bitmap, default=0) <= 7, "a level has three siblings")
    require(len(joined) == 32 * sum(map(int.bit_count, bitmap)), "siblings too many or too few")
    require(EMPTY not in siblings and bitmap[:1] != b"\0", "empty siblings are left out")
    require(len(other) in (0, 64) and not (other and value is not None), "no other leaf is here")
    digest, depth, current = tagged("state/key", key), len(bitmap), EMPTY
    place = int.from_bytes(digest, "big")
    if value is not None:
        current = tagged("state/leaf", digest + tagged("state/value", value))
    elif other:
        beside = int.from_bytes(other[:32], "big") ^ place
        require(beside and not beside >> (256 - 2 * depth), "the other leaf is not on the way")
        current = tagged("state/leaf", other)
    for number, bits in enumerate(bitmap):
        children = [siblings.pop(0) if bits & bit else EMPTY for bit in (4, 2, 1)]
        children.insert(place >> (256 - 2 * (depth - number)) & 3, current)
        current = tagged("state/node", b"".join(children))
    require(current == root, "the way does not lead to the block's state root")


def verify_in_list(root: bytes, item: bytes, path: Value, what: str) -> None:
    """Raise Refused unless `item` stands where `path` says in the list with `root`."""
    require(is_array(path, int, int, bytes) and 0 <= path[0] < path[1] < 2**63, "no Merkle proof")
    index, count, joined = path
    current, width, at = tagged("leaf", item), count, 0
    while width > 1:
        if index ^ 1 < width:
            sibling, at = joined[at : at + 32], at + 32
            current = tagged("node", sibling + current if index & 1 else current + sibling)
        index, width = index // 2, (width + 1) // 2
    require(at == len(joined), "siblings too many or too few")
    require(tagged("root", count.to_bytes(8, "big") + current) == root, f"no such {what} is there")


def verify(data: bytes, trust: Trust) -> dict[str, Value]:
    """Return what the proof `data` shows to a reader who has `trust`; raises Refused."""
    value, steps = decode(data), []
    if is_array(value, int, int, list, bytes) and value[:2] == [42, 1]:
        steps, value = value[2], decode(value[3])
        fits = 0 < len(steps) <= 1_024 and all(is_array(step, *[bytes] * 3) for step in steps)
        require(fits, "not steps, too many, or none")
    if is_array(value, int, int, *[bytes] * 4, list, list) and value[:2] == [40, 1]:
        key, held, way = value[5:]
        require(1 <= len(key) <= 256 and (not held or is_array(held, bytes)), "not a state proof")
        leaf = held[0] if held else None
        header = follow([*steps, value[2:5]], trust)
        verify_state(header["state_root"], key, leaf, way)
        found = {"state_key": key.hex(), "value": leaf}
        if key[:1] == b"a" and len(key) == 21:
            values = decode(leaf)[2:] if leaf else []
            found |= {"account": key[1:], **dict(zip(ACCOUNT, values, strict=False))}
        if key[:2] == b"Md" and len(key) == 24 and leaf:
            _, _, chunk, marks, *energies = decode(leaf)
            rows = zip([QUALITY[mark & 7] for mark in marks], *energies, strict=True)
            found |= {"member": key[2:22], "first_interval": 24 * chunk, "readings": [*rows]}
    else:
        fits = is_array(value, int, int, *[bytes] * 4, list, bytes, list)
        require(fits and value[:2] == [41, 1], "not a proof of this version")
        transaction, path, receipt, receipt_path = value[5:]
        header = follow([*steps, value[2:5]], trust)
        transaction_id, fields = tagged("tx", transaction), decode(receipt)
        require(is_array(fields, int, int, bytes, str, int, int, list, list), "not a receipt")
        require(fields[:3] == [8, 1, transaction_id], "the receipt is of another transaction")
        verify_in_list(header["transactions_root"], transaction_id, path, "transaction")
        verify_in_list(header["receipts_root"], receipt, receipt_path, "receipt")
        found = {"transaction": transaction_id, "code": fields[3], "events": fields[6]}
    return {name: header[name] for name in ("genesis", "height", "time_ms", "block_id")} | found


def shown(value: Value) -> str:
    """Return bytes as JSON holds them: an account as its address, others in hexadecimal."""
    if isinstance(value, bytes) and len(value) == 20:
        return "be" + base64.b32encode(value + tagged("address", value)[:5]).decode().lower()
    return value.hex() if isinstance(value, bytes) else str(value)


def first_validators(document: dict[str, Value]) -> list[Value]:
    """Return who decides block 1, as [vote key, power, account]: one vote each, or by stake."""
    engine, found = document["engine"]["name"], []
    require(engine != "pow", "nobody signs under proof of work: give HEIGHT:BLOCK_ID")
    terms = document["modules"]["staking"] if engine == "pos" else {}
    for member in document["members"]:
        stake = Decimal(terms["stakes"].get(member["name"], "0") if terms else "1")
        if "validator" in member["roles"] and stake >= Decimal(terms.get("min_stake", "1")):
            account = tagged("account", bytes.fromhex(member["key"]))[:20]
            found.append([bytes.fromhex(member["vote_key"]), int(stake), account])
    found.sort(key=lambda entry: (-entry[1], entry[2]))
    return sorted(found[: terms.get("max_validators", 64) if terms else None], key=lambda e: e[2])


def read_trust(text: str) -> Trust:
    """Return what `HEIGHT:BLOCK_ID`, or the genesis file of that name, lets a reader trust."""
    height, _, block = text.partition(":")
    if height.isdecimal() and len(block) == 64:
        return Trust(b"", b"", int(height), bytes.fromhex(block))
    document = json.loads(Path(text).read_bytes())
    first = tagged("validators", encode([5, 1, first_validators(document)]))
    return Trust(tagged("genesis", encode(document)), first, 1)


def main(arguments: list[str]) -> int:
    """Print the verdict and return the exit status."""
    try:
        require(len(arguments) == 2, f"two things are needed\n{__doc__}")
        trust, proof = read_trust(arguments[0]), Path(arguments[1]).read_bytes()
        status, said = 0, "yes\n" + json.dumps(verify(proof, trust), default=shown, indent=1)
    except Refused as error:
        status, said = 1, f"no: {error}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        status, said = 2, f"cannot read what was given: {type(error).__name__}: {error}"
    print(said)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
