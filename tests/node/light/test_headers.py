"""The chain of headers: what each link and each certificate is there for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from node.ledger.block import decode_header
from node.ledger.certificate import encode_certificate
from node.ledger.proof_paths import Trust
from node.ledger.proofs import Finality
from node.light.headers import HeaderChain
from tests.ledger.support import certify, id_of
from tests.tools.proving import ProvingChain
from vm.primitives.errors import InvalidProof
from vm.system.validators import decode_validators


@cache
def chain() -> ProvingChain:
    """A chain of 9 blocks; block 4 names other validators for those after it."""
    made = ProvingChain()
    made.extend(3)
    made.extend(6, made.transaction("Op", ("members", "suspend", (id_of("V4"),))))
    return made


def fresh() -> HeaderChain:
    """A reader who begins at genesis."""
    first = decode_header(chain().finality[1].header)
    return HeaderChain(chain().genesis.digest, Trust(first.genesis, first.validators, 1))


def bare(finality: Finality) -> Finality:
    """A header alone."""
    return Finality(finality.header, b"", b"")


def honest() -> dict[int, Finality]:
    """All headers as a full node sends them: certified at the change and at the end."""
    found = chain().finality
    return {
        height: found[height] if height in (4, 9) else bare(found[height])
        for height in range(1, 10)
    }


def test_what_a_full_node_sends_is_verified() -> None:
    reader = fresh()
    reader.extend(list(honest().values()))
    assert (reader.height, reader.head_id) == (9, chain().blocks[9].block_id)
    assert [first for first, _ in reader.epochs] == [1, 5]
    header = chain().blocks[4].header
    assert reader.validators_at(4) == header.validators
    assert reader.validators_at(5) == header.next_validators
    assert reader.validators_at(0) is None
    for height in range(1, 10):
        assert reader.validate_final(chain().finality[height]).height == height


def certified_by(header_bytes: bytes, validators: Finality) -> Finality:
    """A header signed by all of a set, whoever it names."""
    header = decode_header(header_bytes)
    members = decode_validators(validators.validators)
    found = certify(header.genesis, header.height, header.block_id(), members)
    return Finality(header_bytes, encode_certificate(found), validators.validators)


def smuggled() -> list[Finality]:
    """Others named without a signature of those before, who then sign for themselves."""
    named = replace(chain().blocks[1].header, next_validators=chain().blocks[5].header.validators)
    follower = replace(
        chain().blocks[2].header,
        parent=named.block_id(),
        validators=named.next_validators,
        next_validators=named.next_validators,
    )
    return [
        Finality(named.encode(), b"", b""),
        certified_by(follower.encode(), chain().finality[5]),
    ]


def exchanged() -> list[Finality]:
    """A header in between that names others for itself."""
    odd = replace(
        chain().blocks[1].header,
        validators=chain().blocks[5].header.validators,
        next_validators=chain().blocks[5].header.validators,
    )
    return [Finality(odd.encode(), b"", b""), *list(honest().values())[1:]]


LIES: dict[str, tuple[Callable[[], list[Finality]], str]] = {
    "a change that nobody signed": (smuggled, "without a certificate"),
    "other validators in between": (exchanged, "another validators"),
    "a gap": (lambda: [honest()[2], *list(honest().values())[3:]], "another height"),
    "another parent": (
        lambda: [
            Finality(replace(chain().blocks[1].header, time_ms=1).encode(), b"", b""),
            *list(honest().values())[1:],
        ],
        "another parent",
    ),
    "no certificate at the end": (lambda: list(honest().values())[:-1], "end without"),
    "none": (list, "end without"),
    "validators of before": (
        lambda: [
            *list(honest().values())[:8],
            certified_by(chain().finality[9].header, chain().finality[1]),
        ],
        "other validators",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_what_does_not_hold_is_refused_where_it_begins(name: str) -> None:
    make, reason = LIES[name]
    reader = fresh()
    with pytest.raises(InvalidProof, match=reason):
        reader.extend(make())
    assert reader.height in (0, 4)  # what a certificate proved before stays
    rest = [entry for height, entry in honest().items() if height > reader.height]
    reader.extend(rest)
    assert reader.height == 9


def test_only_blocks_that_were_seen_are_final() -> None:
    reader = fresh()
    reader.extend([chain().finality[1]])
    with pytest.raises(InvalidProof, match="none of those"):
        reader.validate_final(chain().finality[2])
    forged = replace(chain().blocks[1].header, time_ms=7).encode()
    with pytest.raises(InvalidProof, match="broke their promise"):
        reader.validate_final(certified_by(forged, chain().finality[1]))
