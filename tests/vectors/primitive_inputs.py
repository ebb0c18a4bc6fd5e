"""Inputs of the vectors for bytes, numbers, hashes, Merkle trees, keys and text."""

from __future__ import annotations

from tests.ledger.support import key_of, seed
from tests.vectors.kinds import Json
from vm.primitives.address import account_id, encode_address
from vm.primitives.codec import encode
from vm.primitives.merkle import merkle_proof, merkle_root
from vm.primitives.signatures import sign

Inputs = tuple[list[dict[str, Json]], list[dict[str, Json]]]
"""Those that must be accepted, and those that must be refused."""

# The order of the group of Ed25519, and its field's prime.
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD_PRIME = 2**255 - 19
# The eight points whose order divides 8, as RFC 8032 encodes them, and other spellings of them.
SMALL_ORDER = {
    "order 1": "0100000000000000000000000000000000000000000000000000000000000000",
    "order 2": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "order 4": "0000000000000000000000000000000000000000000000000000000000000000",
    "order 4, other sign": "0000000000000000000000000000000000000000000000000000000000000080",
    "order 8": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "order 8, other sign": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "order 8, second": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "order 8, second, other sign": (
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
    ),
}
NON_CANONICAL = {
    "y = p": "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "y = p + 1": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "y = p, sign set": "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "y = 2^255 - 1": "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "x = 0 with sign set": "0100000000000000000000000000000000000000000000000000000000000080",
}
# RFC 8032, section 7.1, tests 1 to 3: seed, key, message, signature.
RFC_8032 = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
)


def mixed_order_key() -> bytes:
    """Return a key of full order plus a point of order 8: valid on the curve, refused by us."""
    return _encode_point(
        _add(_decode_point(key_of("P1")), _decode_point(bytes.fromhex(SMALL_ORDER["order 8"])))
    )


def codec_inputs() -> Inputs:
    values = [
        None, True, False, 0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1,
        2**63, 2**64 - 1, -1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1,
        -(2**63), b"", b"\0", b"a" * 255, b"a" * 256, "", "é", "e\u0301", "a" * 31, "a" * 32,
        "a" * 255, "a" * 256, (), (1, (2, (3, ()))), tuple(range(15)), tuple(range(16)), {},
        {1: b"", "a": None}, {b"k": {"x": 1, "y": (2,)}},
    ]  # fmt: skip
    accepted = [{"name": f"value {i}", "bytes": encode(v).hex()} for i, v in enumerate(values)]
    accepted.append({"name": "sixteen arrays in each other", "bytes": "91" * 15 + "90"})
    refused = {
        "1 as uint8": "cc01",
        "1 as uint16": "cd0001",
        "1 as uint32": "ce00000001",
        "1 as uint64": "cf0000000000000001",
        "1 as int8": "d001",
        "1 as int16": "d10001",
        "1 as int32": "d200000001",
        "1 as int64": "d30000000000000001",
        "-1 as int8": "d0ff",
        "text of 1 byte with a length byte": "d90161",
        "text of 1 byte with two length bytes": "da000161",
        "bytes of 1 with two length bytes": "c5000161",
        "array of 1 with two length bytes": "dc000101",
        "map of 1 with two length bytes": "de00010101",
        "map with a key twice": "8201010102",
        "map with keys in descending order": "8202010101",
        "map with bytes before an integer": "82c4016b010101",
        "map with an array as key": "819001",
        "map with true as key": "81c301",
        "map with nothing as key": "81c001",
        "float64 0": "cb0000000000000000",
        "float64 in an array": "91cb3ff0000000000000",
        "float32": "ca00000000",
        "extension of 1 byte": "d40500",
        "extension of no bytes": "c70005",
        "timestamp extension": "d6ff00000000",
        "never used byte": "c1",
        "nothing": "",
        "two values": "0101",
        "array cut short": "9201",
        "bytes cut short": "c40561",
        "length cut short": "dc00",
        "array that claims 2^32 - 1 items": "ddffffffff01",
        "text that is not UTF-8": "a1ff",
        "text with a surrogate": "a3eda080",
        "text in overlong UTF-8": "a2c0af",
        "seventeen arrays in each other": "91" * 16 + "90",
        "a thousand arrays in each other": "91" * 999 + "90",
        "seventeen maps in each other": "8101" * 16 + "80",
    }
    bad: list[dict[str, Json]] = [{"name": n, "bytes": data} for n, data in refused.items()]
    bad.append({"name": "too many items", "bytes": "94" + "80" * 4, "max_items": 4})
    bad.append({"name": "too many bytes", "bytes": "c403616161", "max_bytes": 4})
    bad.append(
        {"name": "six thousand empty maps", "bytes": "dc1770" + "80" * 6000, "max_items": 99}
    )
    return accepted, bad


def integer_inputs() -> Inputs:
    numbers = [0, 1, -1, 127, 128, -128, -129, 255, 256, 2**63, 2**64, -(2**64), 10**30, 2**255 - 1]
    accepted: list[dict[str, Json]] = [
        {"function": "encode_integer", "number": str(number)} for number in numbers
    ]
    accepted += [
        {"function": "decode_integer", "bytes": data}
        for data in ("", "01", "7f", "0080", "ff", "80", "ff7f", "7f" + "ff" * 31, "80" + "00" * 31)
    ]
    accepted += [
        {"function": "divide_half_even", "numerator": top, "denominator": bottom}
        for top, bottom in (
            (1, 2), (3, 2), (5, 2), (-1, 2), (-3, 2), (-5, 2), (7, 3), (8, 3), (-7, 3), (-8, 3),
            (0, 5), (10, 5), (2**70 + 1, 2),
        )
    ]  # fmt: skip
    accepted += [
        {"function": "trade_amount_micro", "energy_milli_wh": energy, "price_micro_per_kwh": price}
        for energy, price in (
            (0, 0), (1_000_000, 9_820_000), (500, 1000), (1500, 1000), (2500, 1000), (501, 1000),
            (499, 1000), (1, 1), (333_333, 3), (2**53, 2**40), (2**63 - 1, 1_000_000),
        )
    ]  # fmt: skip
    top = 2**63 - 1
    accepted += [
        {"function": "checked_add", "left": str(left), "right": str(right)}
        for left, right in ((0, 0), (top, 0), (top - 1, 1), (5, -5))
    ]
    refused: list[dict[str, Json]] = [
        {"function": "decode_integer", "bytes": data}
        for data in (
            "00", "0000", "0001", "007f", "ffff", "ff80", "ffff80", "00" * 32, "01" + "00" * 32,
        )
    ]  # fmt: skip
    refused += [
        {"function": "checked_add", "left": str(left), "right": str(right)}
        for left, right in ((top, 1), (top, top), (0, -1), (5, -6), (-1, 0), (2**64, 0))
    ]
    return _named(accepted, "function"), _named(refused, "function")


def hashing_inputs() -> Inputs:
    """Hashing refuses nothing; what must differ stands side by side."""
    pairs = [
        ("tx", b""),
        ("tx", b"a"),
        ("header", b"a"),
        ("t", b"xa"),
        ("txa", b""),
        ("leaf", b"x"),
    ]
    names = "account address approval certificate evidence genesis header hello leaf node root "
    names += "parameters proposal/sign state/key state/leaf state/node state/value tx tx/sign "
    names += "validators vote/sign"
    pairs += [(name, b"bitenergy") for name in names.split()]
    return [
        {"name": f"{name} of {len(data)}", "tag": name, "bytes": data.hex()} for name, data in pairs
    ], []


def merkle_inputs() -> Inputs:
    accepted: list[dict[str, Json]] = []
    refused: list[dict[str, Json]] = []
    items = [bytes([number]) * (number + 1) for number in range(9)]
    for count in range(10):
        hexed = [item.hex() for item in items[:count]]
        accepted.append({"name": f"root of {count}", "items": hexed})
    for count, index in ((1, 0), (2, 1), (3, 0), (3, 2), (5, 4), (8, 5), (9, 8)):
        proof = merkle_proof(items[:count], index)
        good: dict[str, Json] = {
            "root": merkle_root(items[:count]).hex(),
            "item": items[index].hex(),
            "index": index,
            "count": count,
            "siblings": [sibling.hex() for sibling in proof.siblings],
        }
        where = f"item {index} of {count}"
        accepted.append({"name": where} | good)
        siblings = good["siblings"]
        changes: dict[str, dict[str, Json]] = {
            "a surplus sibling": {"siblings": [*siblings, "00" * 32]},
            "an index past the count": {"index": count},
            "a negative index": {"index": -1},
            "another item": {"item": "ff"},
            "another count": {"count": count + 1},
            "another root": {"root": "00" * 32},
            "a sibling of 31 bytes": {"siblings": ["00" * 31, *siblings[1:]]},
        }
        if siblings:
            changes["a missing sibling"] = {"siblings": siblings[:-1]}
            changes["siblings in another order"] = {"siblings": [*siblings[1:], "11" * 32]}
        refused += [{"name": f"{where}: {what}"} | good | new for what, new in changes.items()]
    inner = merkle_proof(items[:4], 0)
    pair = inner.siblings[0].hex()
    refused.append(
        {
            "name": "an inner node as a leaf",
            "root": merkle_root(items[:4]).hex(),
            "item": pair + pair,
            "index": 0,
            "count": 2,
            "siblings": [inner.siblings[1].hex()],
        }
    )
    last_twice = merkle_root([*items[:3], items[2]]).hex()
    refused.append(
        {
            "name": "the last item repeated",
            "root": last_twice,
            "item": items[2].hex(),
            "index": 2,
            "count": 3,
            "siblings": [sibling.hex() for sibling in merkle_proof(items[:3], 2).siblings],
        }
    )
    return accepted, refused


def signature_inputs() -> Inputs:
    accepted: list[dict[str, Json]] = []
    refused: list[dict[str, Json]] = []
    for number, (seed_, key, message, signature) in enumerate(RFC_8032, 1):
        good = {"key": key, "message": message, "signature": signature}
        accepted.append(
            {"name": f"RFC 8032 test {number}: sign", "seed": seed_, "message": message}
        )
        accepted.append({"name": f"RFC 8032 test {number}: verify"} | good)
        accepted.append({"name": f"RFC 8032 test {number}: key", "key": key})
        half = bytes.fromhex(signature)
        scalar = int.from_bytes(half[32:], "little") + GROUP_ORDER
        changes = {
            "S + L": {"signature": (half[:32] + scalar.to_bytes(32, "little")).hex()},
            "S with its top bit": {"signature": (half[:63] + bytes([half[63] | 0x80])).hex()},
            "another message": {"message": message + "00"},
            "another R": {"signature": ("00" * 32) + signature[64:]},
            "R of small order": {"signature": SMALL_ORDER["order 8"] + signature[64:]},
            "another key": {"key": key_of("P1").hex()},
            "63 bytes": {"signature": signature[:-2]},
            "65 bytes": {"signature": signature + "00"},
            "key of 31 bytes": {"key": key[:-2]},
        }
        refused += [
            {"name": f"RFC 8032 test {number}: {what}"} | good | new
            for what, new in changes.items()
        ]
    for name in ("Op", "P1", "V1"):
        accepted.append({"name": f"key of {name}", "key": key_of(name).hex()})
    for what, key in (SMALL_ORDER | NON_CANONICAL).items():
        refused.append({"name": f"key: {what}", "key": key})
        refused.append(
            {
                "name": f"signature of anything under a key: {what}",
                "key": key,
                "message": "00",
                "signature": SMALL_ORDER["order 1"] + "00" * 32,
            }
        )
    refused += [
        {"name": "key of mixed order", "key": mixed_order_key().hex()},
        {"name": "key off the curve", "key": "02" + "00" * 31},
        {"name": "key of 31 bytes", "key": "01" * 31},
        {"name": "key of 33 bytes", "key": key_of("P1").hex() + "00"},
        {"name": "no key", "key": ""},
        {
            "name": "digest signed by another member",
            "key": key_of("P1").hex(),
            "message": "00" * 32,
            "signature": sign(seed("P2"), bytes(32)).hex(),
        },
    ]
    return accepted, refused


def address_inputs() -> Inputs:
    accepted: list[dict[str, Json]] = [
        {"name": f"from the key of {name}", "key": key_of(name).hex()}
        for name in ("Op", "P1", "V1")
    ]
    text = encode_address(account_id(key_of("P1")))
    accepted += [
        {"name": "P1's text", "address": text},
        {"name": "all zeros", "address": encode_address(bytes(20))},
    ]
    accepted += [
        {"name": f"name {name}", "text": name} for name in ("P1", "Sourcebus.1", "_-.", "a" * 32)
    ]
    with_i = next(
        one
        for one in (encode_address(bytes([number]) * 20) for number in range(256))
        if "i" in one and "s" in one
    )
    refused = [
        text[:-1], text + "a", text.upper(), "BE" + text[2:], text[:-1] + "=", "bx" + text[2:],
        text[2:], "", "be", text.replace(text[10], "a" if text[10] != "a" else "b", 1),
        text[:5] + text[6] + text[5] + text[7:], text[:9] + "0" + text[10:], " " + text[1:],
        with_i.replace("i", "\u0131", 1), with_i.replace("s", "\u017f", 1),
    ]  # fmt: skip
    bad: list[dict[str, Json]] = [{"address": one} for one in refused]
    bad += [
        {"text": name}
        for name in ("", "a" * 33, "a b", "ä", "a\n", "a/b", "\u0661", "a\0", "Ⅷ", "a\u0301")
    ]
    return accepted, bad


def decimal_inputs() -> Inputs:
    good = [
        ("9.82", 6), ("0", 6), ("-0", 6), ("-1.5", 6), ("1000.0", 6), ("0.000001", 6),
        ("1.0000000000", 6), ("007", 2), ("9223372036854.775807", 6), ("12", 0), ("12.0", 0),
        ("9" * 40, 2),
    ]  # fmt: skip
    bad = [
        ("", 6), ("-", 6), (".5", 6), ("5.", 6), ("1.2.3", 6), ("1e3", 6), ("+1", 6), (" 1", 6),
        ("1 ", 6), ("1,5", 6), ("0x10", 6), ("1_000", 6), ("NaN", 6), ("Infinity", 6),
        ("0.0000001", 6), ("1.5", 0), ("--1", 6), ("\u0661", 6), ("1\n", 6), ("9" * 41, 2),
        ("²", 6),
    ]  # fmt: skip
    return (
        [{"text": text, "decimals": decimals} for text, decimals in good],
        [{"text": text, "decimals": decimals} for text, decimals in bad],
    )


def _named(cases: list[dict[str, Json]], field: str) -> list[dict[str, Json]]:
    return [{"name": f"{case[field]} {number}"} | case for number, case in enumerate(cases)]


def _decode_point(data: bytes) -> tuple[int, int]:
    number = int.from_bytes(data, "little")
    y, sign_ = number & (2**255 - 1), number >> 255
    d = -121665 * pow(121666, -1, FIELD_PRIME)
    square = (y * y - 1) * pow(d * y * y + 1, -1, FIELD_PRIME) % FIELD_PRIME
    x = pow(square, (FIELD_PRIME + 3) // 8, FIELD_PRIME)
    if (x * x - square) % FIELD_PRIME:
        x = x * pow(2, (FIELD_PRIME - 1) // 4, FIELD_PRIME) % FIELD_PRIME
    return (FIELD_PRIME - x if x & 1 != sign_ else x), y


def _add(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = left, right
    d = -121665 * pow(121666, -1, FIELD_PRIME)
    product = d * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, FIELD_PRIME)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, FIELD_PRIME)
    return x % FIELD_PRIME, y % FIELD_PRIME


def _encode_point(point: tuple[int, int]) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")
