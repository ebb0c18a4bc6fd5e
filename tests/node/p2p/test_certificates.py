"""The node certificate: fixed bytes, rebuilt by anybody, proofs that are wrong refused."""

from __future__ import annotations

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from node.p2p.certificates import (
    certificate_body,
    certificate_key,
    make_certificate,
    rebuild_certificate,
    verify_certificate,
    verify_node_proof,
)
from node.p2p.members import TrustedMembers
from tests.node.p2p.harness import identity, registry
from vm.primitives.errors import InvalidInput
from vm.primitives.signatures import sign

KNOWN_PROOF = (
    "bb8ce81b93d5687972be09f3a1a7cbf2c15dd744db6eb3d4a6f9dc0d66b5df9b"
    "070c6b31309817d175795c3d136e466c854dcb711431a9636fe73c972d37450a"
)


def certificate_of_the_library(seed: bytes) -> x509.Certificate:
    """Build the same certificate with `cryptography`."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, raw.hex())])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, None)
    )


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_every_certificate_equals_the_one_that_a_library_builds(seed: bytes) -> None:
    made = make_certificate(seed)
    library = certificate_of_the_library(seed)
    assert made.der == library.public_bytes(Encoding.DER)
    assert certificate_body(made.node_key) == library.tbs_certificate_bytes
    assert made.proof == library.signature


def test_the_certificate_of_a_known_seed_never_changes() -> None:
    made = make_certificate(bytes(32))
    assert made.node_key.hex() == "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
    assert len(made.der) == 347
    assert made.proof.hex() == KNOWN_PROOF


def test_anybody_rebuilds_it_from_key_and_proof() -> None:
    made = identity(5)
    assert rebuild_certificate(made.node_key, made.proof) == made.der
    assert certificate_key(made.der) == made.node_key
    assert verify_node_proof(made.node_key, made.proof)
    assert verify_certificate(made.node_key, made.der)


def test_the_secret_is_not_printed() -> None:
    made = make_certificate(b"\x5a" * 32)
    assert "5a5a" not in repr(made) and "ZZZZ" not in repr(made)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 511))
def test_a_proof_with_one_wrong_bit_is_refused(bit: int) -> None:
    made = identity(6)
    wrong = bytearray(made.proof)
    wrong[bit // 8] ^= 1 << bit % 8
    assert not verify_node_proof(made.node_key, bytes(wrong))
    assert not verify_certificate(made.node_key, rebuild_certificate(made.node_key, bytes(wrong)))


def test_proofs_of_other_keys_and_other_messages_are_refused() -> None:
    one, other = identity(1), identity(2)
    assert not verify_node_proof(one.node_key, other.proof)
    assert not verify_node_proof(one.node_key, sign(one.seed, one.node_key))
    assert not verify_node_proof(one.node_key, b"")
    assert not verify_node_proof(one.node_key[:31], one.proof)
    assert not verify_certificate(one.node_key, other.der)
    assert not verify_certificate(one.node_key, b"")
    assert not verify_certificate(one.node_key, one.der + b"\0")


@pytest.mark.parametrize(
    "key",
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0200000000000000000000000000000000000000000000000000000000000000",
    ],
)
def test_small_order_and_non_canonical_keys_are_refused(key: str) -> None:
    # For a small-order key the all-zero S with R = identity passes lenient verifiers.
    proof = b"\x01" + bytes(63)
    assert not verify_node_proof(bytes.fromhex(key), proof)


def test_wrong_sizes_say_what_was_expected() -> None:
    with pytest.raises(InvalidInput, match="expected 32 bytes"):
        make_certificate(b"short")
    with pytest.raises(InvalidInput, match="expected 64 bytes; got 3 bytes"):
        rebuild_certificate(bytes(32), b"abc")
    with pytest.raises(InvalidInput, match="a node key has the wrong size"):
        rebuild_certificate(bytes(31), bytes(64))


def test_a_registry_entry_with_a_planted_proof_is_left_out() -> None:
    good, bad = identity(1), identity(2)
    members = TrustedMembers(identity(3))
    planted = registry(good) | {bad.node_key: identity(4).proof}
    assert members.update(planted, joining=False) == [bad.node_key]
    assert members.key_of(good.der) == good.node_key
    assert members.key_of(bad.der) is None
    assert members.key_of(b"") is None
    assert members.key_of(good.der[:-1] + b"\0") is None


def test_a_change_of_the_registry_makes_a_fresh_context() -> None:
    one, other = identity(1), identity(2)
    members = TrustedMembers(identity(3))
    members.update(registry(one, other), joining=False)
    first = members.server_context()
    assert members.server_context() is first
    assert first.verify_mode is ssl.CERT_REQUIRED
    assert first.minimum_version is first.maximum_version is ssl.TLSVersion.TLSv1_3
    assert first.num_tickets == 0
    assert first.cert_store_stats() == {"x509": 2, "crl": 0, "x509_ca": 0}
    members.update(registry(one, other), joining=False)
    assert members.server_context() is first
    members.update(registry(one), joining=False)
    assert members.server_context() is not first
    assert members.server_context().cert_store_stats()["x509"] == 1


def test_our_own_key_and_former_members_are_not_trusted() -> None:
    own, other = identity(1), identity(2)
    members = TrustedMembers(own)
    members.update(registry(own, other), joining=True)
    assert members.server_context().cert_store_stats()["x509"] == 1
    members.pin(other.node_key, other.der)
    members.update(registry(own), joining=True)
    assert not members.may_pin(other.node_key)
    assert members.certificate(other.node_key) is None
    stranger = identity(3)
    members.pin(stranger.node_key, stranger.der)
    assert members.key_of(stranger.der) == stranger.node_key
    members.update(registry(own), joining=False)
    assert members.key_of(stranger.der) is None
