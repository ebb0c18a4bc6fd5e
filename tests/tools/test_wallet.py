"""The wallet: keys by name, signing, and rotations that survive being cut short."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.keyfile import save_plain_key
from node.keyfile_format import DerivationCost, KeyFileError, WrongPassword
from node.private_file import PrivateFileError
from tools.calls import buy, post_offer, transfer
from tools.wallet import TransactionTerms, Wallet, WalletError
from vm.primitives.address import account_id
from vm.primitives.errors import InvalidInput
from vm.primitives.signatures import public_key, verify_signature

CHEAP = DerivationCost(opslimit=1, memlimit_bytes=8192)


@pytest.fixture
def wallet(tmp_path: Path) -> Wallet:
    return Wallet(tmp_path / "home", cost=CHEAP)


def secret() -> str:
    return "secret"


def test_keys_are_created_listed_and_opened(wallet: Wallet) -> None:
    wallet.create("P1", "secret")
    wallet.create("Sourcebus.1", "secret")
    assert wallet.names() == ["P1", "Sourcebus.1"]
    signer = wallet.open("P1", secret)
    assert signer.account == account_id(public_key(signer.seed))
    with pytest.raises(WrongPassword):
        wallet.open("P1", lambda: "guess")


def test_a_signer_does_not_print_its_secret(wallet: Wallet) -> None:
    wallet.create("P1", "secret")
    signer = wallet.open("P1", secret)
    assert signer.seed.hex() not in repr(signer)
    assert repr(signer.seed) not in repr(signer)


def test_signed_transactions_say_what_they_should(wallet: Wallet) -> None:
    wallet.create("P1", "secret")
    signer = wallet.open("P1", secret)
    calls = [transfer(b"r" * 20, 5, "für Öl"), post_offer("m", 3, 6_000_000, 9_820_000)]
    terms = TransactionTerms(b"g" * 32, nonce=4, expiry_height=99, gas_limit=7, max_fee_micro=8)
    found = signer.sign(calls, terms)
    assert (found.genesis, found.sender, found.nonce) == (b"g" * 32, signer.account, 4)
    assert (found.expiry_height, found.gas_limit, found.max_fee_micro) == (99, 7, 8)
    assert found.calls == tuple(calls)
    assert verify_signature(public_key(signer.seed), found.digest, found.signature)


def test_amounts_must_be_positive_before_anything_is_signed() -> None:
    for make in (
        lambda: transfer(b"r" * 20, 0),
        lambda: post_offer("m", 3, 0, 1),
        lambda: buy("m", 3, 0, 1),
        lambda: transfer(b"r" * 20, 1, "x" * 65),
        lambda: buy("no name", 3, 5, 1),
    ):
        with pytest.raises(InvalidInput):
            make()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "x" * 33, "P1.next", "P1.old-5"])
def test_names_that_could_leave_the_folder_or_hide_a_key_are_refused(
    wallet: Wallet, name: str
) -> None:
    with pytest.raises(InvalidInput):
        wallet.create(name, "secret")


def test_existing_keys_are_not_overwritten(wallet: Wallet) -> None:
    first = wallet.create("P1", "secret")
    with pytest.raises(PrivateFileError):
        wallet.create("P1", "other")
    assert wallet.describe("P1") == first


def test_the_only_key_need_not_be_named(wallet: Wallet) -> None:
    with pytest.raises(WalletError, match="wallet create"):
        wallet.choose(None)
    wallet.create("P1", "secret")
    assert wallet.choose(None) == "P1"
    wallet.create("P2", "secret")
    with pytest.raises(WalletError, match="P1, P2"):
        wallet.choose(None)
    with pytest.raises(WalletError, match="It has: P1, P2"):
        wallet.choose("P3")


def test_a_vote_key_does_not_sign_transactions(wallet: Wallet) -> None:
    wallet.folder.mkdir(parents=True)
    save_plain_key(wallet.path("V1"), bytes(32), purpose="vote")
    with pytest.raises(KeyFileError, match="no account's key"):
        wallet.open("V1", secret)


def test_rotation_keeps_account_name_and_password(wallet: Wallet) -> None:
    wallet.create("P1", "secret")
    old = wallet.open("P1", secret)
    new = wallet.prepare_rotation(old, secret)
    assert new.account == old.account
    assert new.seed != old.seed
    assert wallet.names() == ["P1"]
    kept = wallet.finish_rotation("P1", 12)
    assert wallet.open("P1", secret) == new
    assert kept.name == "P1.old-12.json"
    assert wallet.names() == ["P1"]


def test_a_rotation_cut_short_goes_on_with_the_same_new_key(wallet: Wallet) -> None:
    wallet.create("P1", "secret")
    old = wallet.open("P1", secret)
    first = wallet.prepare_rotation(old, secret)
    assert wallet.open("P1", secret) == old
    assert wallet.prepare_rotation(old, secret) == first
    # The step between keeping the old file and replacing it.
    (wallet.folder / "P1.old-3.json").hardlink_to(wallet.path("P1"))
    wallet.finish_rotation("P1", 3)
    assert wallet.open("P1", secret) == first
