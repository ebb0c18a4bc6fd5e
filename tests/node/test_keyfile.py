"""Key files: round trips, wrong passwords, tampering, hostile parameters, exposed files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node import keyfile
from node.keyfile import (
    load_key,
    open_key,
    read_key_file,
    save_encrypted_key,
    save_plain_key,
)
from node.keyfile_format import (
    DerivationCost,
    KeyFileError,
    SealedSeed,
    WrongPassword,
    decode_key_file,
)
from node.private_file import PrivateFileError
from vm.primitives.address import account_id
from vm.primitives.signatures import public_key

CHEAP = DerivationCost(opslimit=1, memlimit_bytes=8192)
SEED = bytes(range(32))
Edit = Callable[[dict[str, object], dict[str, object]], object]


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "alice.json"
    save_encrypted_key(path, SEED, "correct horse", purpose="account", cost=CHEAP)
    return path


def edit(path: Path, change: Edit) -> None:
    outer = json.loads(path.read_text())
    change(outer, outer["protection"])
    path.write_text(json.dumps(outer))


def test_an_encrypted_key_opens_with_its_password_only(sealed: Path) -> None:
    assert load_key(sealed, purpose="account", password=lambda: "correct horse") == SEED
    with pytest.raises(WrongPassword, match="password does not open"):
        load_key(sealed, purpose="account", password=lambda: "correct hors")


def test_the_file_names_its_derivation_and_hides_the_seed(sealed: Path) -> None:
    protection = json.loads(sealed.read_text())["protection"]
    assert protection["kdf"] == "argon2id"
    assert (protection["opslimit"], protection["memlimit_bytes"]) == (1, 8192)
    assert len(bytes.fromhex(protection["salt"])) == 16
    assert SEED.hex() not in sealed.read_text()


def test_two_files_of_one_seed_share_neither_salt_nor_ciphertext(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        save_encrypted_key(tmp_path / name, SEED, "pw", purpose="account", cost=CHEAP)
        texts.append(json.loads((tmp_path / name).read_text())["protection"])
    for field in ("salt", "nonce", "ciphertext"):
        assert texts[0][field] != texts[1][field]


def test_the_default_cost_is_within_the_bounds() -> None:
    keyfile.DEFAULT_COST.validate()
    assert keyfile.DEFAULT_COST.memlimit_bytes >= 64 * 1024 * 1024


def test_a_plain_key_needs_no_password_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "vote.json"
    save_plain_key(path, SEED, purpose="vote")
    assert load_key(path, purpose="vote") == SEED
    assert not read_key_file(path).encrypted


def test_a_rotated_key_keeps_its_account(tmp_path: Path) -> None:
    save_plain_key(tmp_path / "first", SEED, purpose="account")
    assert read_key_file(tmp_path / "first").account == account_id(public_key(SEED))
    save_encrypted_key(tmp_path / "k", SEED, "pw", purpose="account", account=b"a" * 20, cost=CHEAP)
    assert read_key_file(tmp_path / "k").account == b"a" * 20
    with pytest.raises(KeyFileError, match="20 bytes"):
        save_plain_key(tmp_path / "x", SEED, purpose="account", account=b"short")


def test_an_encrypted_key_without_a_password_source_is_refused(sealed: Path) -> None:
    with pytest.raises(KeyFileError, match="no password") as caught:
        load_key(sealed, purpose="account")
    assert caught.value.code == "key_encrypted"


def test_a_key_for_another_purpose_is_refused_before_a_password_is_asked(sealed: Path) -> None:
    with pytest.raises(KeyFileError) as caught:
        load_key(sealed, purpose="vote", password=lambda: pytest.fail("asked"))
    assert caught.value.code == "key_purpose"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_files_are_created_0600_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        save_plain_key(tmp_path / "k", SEED, purpose="node")
    finally:
        os.umask(before)
    assert (tmp_path / "k").stat().st_mode & 0o7777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["k"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o610])
def test_a_file_open_to_others_is_refused(sealed: Path, mode: int) -> None:
    sealed.chmod(mode)
    with pytest.raises(PrivateFileError, match="chmod 600") as caught:
        load_key(sealed, purpose="account", password=lambda: pytest.fail("asked"))
    assert caught.value.code == "file_exposed"


def test_a_link_to_an_exposed_file_is_refused(sealed: Path, tmp_path: Path) -> None:
    sealed.chmod(0o644)
    (tmp_path / "link").symlink_to(sealed)
    with pytest.raises(PrivateFileError, match="other users"):
        read_key_file(tmp_path / "link")


def test_an_existing_file_is_never_overwritten_unasked(sealed: Path) -> None:
    before = sealed.read_bytes()
    with pytest.raises(PrivateFileError) as caught:
        save_encrypted_key(sealed, SEED, "other", purpose="account", cost=CHEAP)
    assert caught.value.code == "file_exists"
    assert sealed.read_bytes() == before
    assert len(list(sealed.parent.iterdir())) == 1


def test_a_password_change_replaces_the_file(sealed: Path) -> None:
    save_encrypted_key(sealed, SEED, "new", purpose="account", cost=CHEAP, replace=True)
    assert load_key(sealed, purpose="account", password=lambda: "new") == SEED


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PrivateFileError, match="No space left") as caught:
        save_plain_key(tmp_path / "k", SEED, purpose="node")
    assert caught.value.code == "file_unwritable"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opslimit", 0),
        ("opslimit", 9),
        ("opslimit", 2**32 - 1),
        ("opslimit", -1),
        ("opslimit", 10**400),
        ("memlimit_bytes", 8191),
        ("memlimit_bytes", 256 * 1024 * 1024 + 1),
        ("memlimit_bytes", 4 * 2**40),
    ],
)
def test_hostile_costs_are_refused_before_deriving(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    monkeypatch.setattr(keyfile, "_derive", lambda *_: pytest.fail("derived"))
    edit(sealed, lambda _, protection: protection.__setitem__(name, value))
    with pytest.raises(KeyFileError, match="out of bounds") as caught:
        load_key(sealed, purpose="account", password=lambda: "correct horse")
    assert caught.value.code == "key_cost"


def test_costs_built_in_memory_are_checked_too(sealed: Path) -> None:
    key_file = read_key_file(sealed)
    assert isinstance(key_file.protection, SealedSeed)
    hostile = SealedSeed(
        DerivationCost(1, 2**40),
        key_file.protection.salt,
        key_file.protection.nonce,
        key_file.protection.ciphertext,
    )
    with pytest.raises(KeyFileError, match="out of bounds"):
        open_key(replace(key_file, protection=hostile), "correct horse")


EDITS: dict[str, Edit] = {
    "kdf": lambda _, p: p.__setitem__("kdf", "argon2i"),
    "cipher": lambda _, p: p.__setitem__("cipher", "aes"),
    "float cost": lambda _, p: p.__setitem__("opslimit", 1.0),
    "boolean cost": lambda _, p: p.__setitem__("opslimit", True),
    "text cost": lambda _, p: p.__setitem__("opslimit", "1"),
    "short salt": lambda _, p: p.__setitem__("salt", "00"),
    "salt with spaces": lambda _, p: p.__setitem__("salt", " " * 32),
    "upper-case hex": lambda _, p: p.__setitem__("salt", "AB" * 16),
    "long ciphertext": lambda _, p: p.__setitem__("ciphertext", "00" * 49),
    "surplus member": lambda _, p: p.__setitem__("note", "hi"),
    "missing member": lambda _, p: p.pop("nonce"),
    "unknown kind": lambda _, p: p.__setitem__("kind", "pin"),
    "list kind": lambda _, p: p.__setitem__("kind", ["password"]),
    "version": lambda o, _: o.__setitem__("version", 2),
    "format": lambda o, _: o.__setitem__("format", "other"),
    "purpose": lambda o, _: o.__setitem__("purpose", "money"),
    "protection": lambda o, _: o.__setitem__("protection", []),
    "outer surplus": lambda o, _: o.__setitem__("x", 1),
    "vote key with an account": lambda o, _: o.__setitem__("purpose", "vote"),
    "no account": lambda o, _: o.__setitem__("account", ""),
    "key as number": lambda o, _: o.__setitem__("public_key", 5),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS.keys())
def test_any_other_shape_is_refused(sealed: Path, change: Edit) -> None:
    edit(sealed, change)
    with pytest.raises(KeyFileError) as caught:
        load_key(sealed, purpose="account", password=lambda: pytest.fail("asked"))
    assert caught.value.code == "key_malformed"


TAMPERING: dict[str, Edit] = {
    "purpose": lambda o, _: o.update(purpose="vote", account=""),
    "account": lambda o, _: o.__setitem__("account", "22" * 20),
    "public key": lambda o, _: o.__setitem__("public_key", "11" * 32),
    "opslimit": lambda _, p: p.__setitem__("opslimit", 2),
    "salt": lambda _, p: p.__setitem__("salt", "00" * 16),
    "nonce": lambda _, p: p.__setitem__("nonce", "00" * 24),
    "ciphertext": lambda _, p: p.__setitem__("ciphertext", "00" * 48),
}


@pytest.mark.parametrize("change", TAMPERING.values(), ids=TAMPERING.keys())
def test_an_altered_file_does_not_open(sealed: Path, change: Edit) -> None:
    edit(sealed, change)
    with pytest.raises(WrongPassword):
        open_key(read_key_file(sealed), "correct horse")


def test_a_plain_file_with_another_public_key_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "k"
    save_plain_key(path, SEED, purpose="node")
    edit(path, lambda outer, _: outer.__setitem__("public_key", "11" * 32))
    with pytest.raises(KeyFileError, match="does not belong"):
        load_key(path, purpose="node")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 4000,
        b'{"a":' * 800,
        b"9" * 4096,
        b'{"format": "bitenergy-key", "format": "bitenergy-key"}',
        b" " * 5000,
        "{'ü': 1}".encode(),
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(KeyFileError):
        decode_key_file(data)


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_no_bytes_escape_the_error_tree(data: bytes) -> None:
    with pytest.raises(KeyFileError):
        decode_key_file(data)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent"):
        with pytest.raises(PrivateFileError):
            read_key_file(path)


@pytest.mark.parametrize("password", ["", "x" * 1025])
def test_passwords_have_a_length(tmp_path: Path, password: str) -> None:
    with pytest.raises(KeyFileError) as caught:
        save_encrypted_key(tmp_path / "k", SEED, password, purpose="account", cost=CHEAP)
    assert caught.value.code == "password_length"


@pytest.mark.parametrize(("seed", "purpose"), [(b"short", "node"), (SEED, "spend")])
def test_what_cannot_be_loaded_is_not_saved(tmp_path: Path, seed: bytes, purpose: str) -> None:
    with pytest.raises(KeyFileError):
        save_plain_key(tmp_path / "k", seed, purpose=purpose)
    assert not list(tmp_path.iterdir())
