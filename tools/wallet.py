"""The wallet: a folder of encrypted account keys, and the signing of transactions with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.keyfile import (
    DEFAULT_COST,
    generate_seed,
    open_key,
    read_key_file,
    save_encrypted_key,
    save_plain_key,
)
from node.keyfile_format import DerivationCost, KeyFile, KeyFileError
from node.ledger.transaction import Transaction, sign_transaction
from vm.primitives.address import check_name, validate_name
from vm.primitives.errors import InvalidInput
from vm.primitives.signatures import public_key
from vm.runtime import Call

KEY_FOLDER: Final = "keys"
SUFFIX: Final = ".json"
NEXT_SUFFIX: Final = ".next"
DEFAULT_GAS_LIMIT: Final = 2_000_000
DEFAULT_EXPIRY_BLOCKS: Final = 5_000

Password = Callable[[], str]
"""Asks for a password when, and only when, one is needed."""


class WalletError(InvalidInput):
    """A key that the wallet does not have, or cannot choose."""

    default_code = "wallet"


@dataclass(frozen=True, slots=True)
class TransactionTerms:
    """What a transaction says besides its sender and its calls."""

    genesis: bytes
    """The network, 32 bytes."""
    nonce: int
    """The account's number of it."""
    expiry_height: int
    """Last height at which it may stand in a block."""
    gas_limit: int = DEFAULT_GAS_LIMIT
    """Most gas that it may use."""
    max_fee_micro: int = 0
    """Most fee that it may pay, micro-tokens."""


@dataclass(frozen=True, slots=True)
class Signer:
    """An opened key and the account it signs for."""

    name: str
    """The key's name in the wallet."""
    account: bytes
    """Account id, 20 bytes."""
    seed: bytes = field(repr=False)
    """The secret, 32 bytes."""

    def sign(self, calls: Sequence[Call], terms: TransactionTerms) -> Transaction:
        """Return the signed transaction that makes `calls` in order, all or nothing."""
        return sign_transaction(
            self.seed,
            genesis=terms.genesis,
            sender=self.account,
            key=public_key(self.seed),
            nonce=terms.nonce,
            gas_limit=terms.gas_limit,
            max_fee_micro=terms.max_fee_micro,
            expiry_height=terms.expiry_height,
            calls=tuple(calls),
        )


class Wallet:
    """The account keys below one home folder, one file each."""

    def __init__(self, home: Path, *, cost: DerivationCost = DEFAULT_COST) -> None:
        """Use the keys in `home`; `cost` is what new files ask of a password guesser."""
        self.folder = home / KEY_FOLDER
        self._cost = cost

    def names(self) -> list[str]:
        """Return the names of the keys, in order; keys of an unfinished rotation apart."""
        found = (path.name[: -len(SUFFIX)] for path in self.folder.glob("*" + SUFFIX))
        return sorted(name for name in found if check_name(name) and _is_current(name))

    def path(self, name: str) -> Path:
        """Return where the key called `name` is or would be."""
        return self.folder / (validate_name(name) + SUFFIX)

    def describe(self, name: str) -> KeyFile:
        """Return what the key's file says without being opened; raises WalletError."""
        path = self.path(name)
        if not path.exists():
            known = ", ".join(self.names())
            raise WalletError(
                f"the wallet has no key called {name}",
                code="unknown_key",
                hint=f"It has: {known}."
                if known
                else f"Create it with: bitenergy wallet create {name}.",
            )
        key_file = read_key_file(path)
        if key_file.purpose != "account":
            raise KeyFileError(
                f"{path} is no account's key",
                code="key_purpose",
                expected="account",
                actual=key_file.purpose,
            )
        return key_file

    def choose(self, name: str | None) -> str:
        """Return `name`, or the wallet's only key; raises WalletError where that is unclear."""
        if name is not None:
            self.describe(name)
            return name
        known = self.names()
        if len(known) == 1:
            return known[0]
        raise WalletError(
            "several keys are in the wallet" if known else "the wallet has no key yet",
            code="no_key",
            hint=f"Give --from with one of: {', '.join(known)}."
            if known
            else "Create one with: bitenergy wallet create NAME.",
        )

    def create(self, name: str, password: str) -> KeyFile:
        """Make a new key called `name`; raises KeyFileError where one exists."""
        return self.add(name, generate_seed(), password)

    def add(
        self, name: str, seed: bytes, password: str, *, account: bytes | None = None
    ) -> KeyFile:
        """Store `seed` under `name`; `account` is given where its key was once rotated."""
        if not _is_current(validate_name(name)):
            raise WalletError(
                f"names in {NEXT_SUFFIX} or .old-… are kept for rotated keys", actual=name
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return save_encrypted_key(
            self.path(name), seed, password, purpose="account", account=account, cost=self._cost
        )

    def open(self, name: str, password: Password) -> Signer:
        """Return the key ready to sign; asks `password` only for an encrypted file.

        Raises WalletError, WrongPassword or KeyFileError.
        """
        key_file = self.describe(name)
        seed = open_key(key_file, password() if key_file.encrypted else None)
        return Signer(name, key_file.account, seed)

    def prepare_rotation(self, signer: Signer, password: Password) -> Signer:
        """Return the key that is to replace `signer`, on disk before anything is sent.

        A rotation that was cut short goes on with the key that it had made.
        """
        path = self._next_path(signer.name)
        if path.exists():
            key_file = read_key_file(path)
            seed = open_key(key_file, password() if key_file.encrypted else None)
            return Signer(signer.name, key_file.account, seed)
        seed = generate_seed()
        if self.describe(signer.name).encrypted:
            save_encrypted_key(
                path,
                seed,
                password(),
                purpose="account",
                account=signer.account,
                cost=self._cost,
            )
        else:
            save_plain_key(path, seed, purpose="account", account=signer.account)
        return Signer(signer.name, signer.account, seed)

    def finish_rotation(self, name: str, height: int) -> Path:
        """Put the new key in the old one's place; return where the old one is kept."""
        old = self.folder / f"{name}.old-{height}{SUFFIX}"
        if not old.exists():
            old.hardlink_to(self.path(name))
        self._next_path(name).replace(self.path(name))
        return old

    def _next_path(self, name: str) -> Path:
        return self.folder / (name + NEXT_SUFFIX + SUFFIX)


def _is_current(name: str) -> bool:
    return not name.endswith(NEXT_SUFFIX) and ".old-" not in name
