"""One run of a command: its home folder, its node, its pinned network, its password."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.output import note, waiting
from vm.primitives.address import TEXT_LENGTH, decode_address, encode_address
from vm.primitives.errors import InvalidInput

if TYPE_CHECKING:
    from tools.client import NodeClient
    from tools.errors import FinalTransaction
    from tools.wallet import Signer, Wallet
    from vm.runtime import Call

NETWORK_FILE: Final = "network.json"
ENV_HOME: Final = "BITENERGY_HOME"
ENV_NODE: Final = "BITENERGY_NODE"
ENV_FINGERPRINT: Final = "BITENERGY_FINGERPRINT"
ENV_PASSWORD: Final = "BITENERGY_PASSWORD"
DEFAULT_HOME: Final = "~/.bitenergy"
MAX_NETWORK_FILE_BYTES: Final = 65_536


class SessionError(InvalidInput):
    """Settings that do not fit, or a password that nobody can be asked for."""

    default_code = "settings"


@dataclass(frozen=True, slots=True)
class Network:
    """What the home folder remembers of its network."""

    genesis: bytes
    """Hash of genesis, 32 bytes: the identity that is never taken over silently."""
    node: str
    """Address of the node that is asked unless another is named."""
    fingerprint: bytes = b""
    """SHA-256 of the node's certificate; empty without HTTPS, or where the system trusts it."""


@dataclass(slots=True)
class Session:
    """The settings of one command, and what they lead to when it is needed."""

    home: Path
    """Folder of keys and of the pinned network."""
    node: str | None = None
    """Address of the node, if one was named."""
    fingerprint: str | None = None
    """Fingerprint of the node's certificate, if one was named."""
    password_file: str | None = None
    """File whose first line is the password; `-` is standard input."""
    timeout_s: float = 30.0
    """How long to wait for a transaction to be final."""
    as_json: bool = False
    """Whether the command prints JSON; errors follow it."""
    _client: NodeClient | None = field(default=None, repr=False)
    _password: str | None = field(default=None, repr=False)

    @property
    def wallet(self) -> Wallet:
        """The keys of the home folder."""
        from tools.wallet import Wallet

        return Wallet(self.home)

    def network(self) -> Network | None:
        """Return the pinned network, or None before the first contact."""
        return load_network(self.home)

    def client(self) -> NodeClient:
        """Return the client of the chosen node, held to the pinned network."""
        if self._client is None:
            from tools.client import DEFAULT_URL, NodeClient

            pinned = self.network()
            url = self.node or (pinned.node if pinned else DEFAULT_URL)
            self._client = NodeClient(
                url,
                genesis=pinned.genesis if pinned else None,
                fingerprint=self.node_fingerprint(),
            )
        return self._client

    def node_fingerprint(self) -> bytes:
        """Return which certificate the chosen node has; empty where none was named."""
        if self.fingerprint:
            from tools.https import parse_fingerprint

            return parse_fingerprint(self.fingerprint)
        pinned = self.network()
        if pinned is not None and self.node in (None, pinned.node):
            return pinned.fingerprint
        return b""

    def password(self, *, prompt: str = "Password", confirm: bool = False) -> str:
        """Return the password from its file, the environment, or a prompt, asked once.

        Raises SessionError where there is none of them.
        """
        if self._password is None:
            self._password = self._find_password(prompt, confirm)
        return self._password

    def open_signer(self, name: str | None) -> Signer:
        """Return the opened key called `name`, or the wallet's only one."""
        wallet = self.wallet
        chosen = wallet.choose(name)
        return wallet.open(chosen, lambda: self.password(prompt=f"Password of {chosen}"))

    def send(self, signer: Signer, calls: Sequence[Call]) -> FinalTransaction:
        """Sign `calls`, send them as one transaction, and wait until it is final.

        Raises a ClientError that says what became of it.
        """
        from tools.client import integer_field, object_field
        from tools.wallet import DEFAULT_EXPIRY_BLOCKS, DEFAULT_GAS_LIMIT, TransactionTerms

        client = self.client()
        address = encode_address(signer.account)
        status = client.status()
        self._pin(client)
        params = object_field(client.get("/params"), "parameters")
        gas_limit = min(DEFAULT_GAS_LIMIT, integer_field(params, "max_transaction_gas"))
        blocks = min(DEFAULT_EXPIRY_BLOCKS, integer_field(params, "max_expiry_blocks"))
        terms = TransactionTerms(
            genesis=client.genesis_hash(),
            nonce=client.next_nonce(address),
            expiry_height=integer_field(status, "height") + blocks,
            gas_limit=gas_limit,
            max_fee_micro=gas_limit * integer_field(params, "gas_price_micro"),
        )
        transaction = signer.sign(calls, terms)
        with waiting("waiting until the network agrees", quiet=self.as_json):
            return client.submit_and_wait(
                transaction.raw, timeout_s=self.timeout_s, sender=address, nonce=terms.nonce
            )

    def resolve(self, who: str) -> bytes:
        """Return the account id of an address or a member's name.

        The names of the wallet do not count here: money goes to whom the chain calls so.
        Raises InvalidInput or a ClientError.
        """
        from tools.client import text_field

        if len(who) == TEXT_LENGTH:
            return decode_address(who)
        return decode_address(text_field(self.client().account(who), "address"))

    def account_of(self, who: str | None) -> bytes:
        """Return the account id of `who`; without one, of the wallet's only key.

        A key of the wallet comes before a member of that name: it is the person's own.
        """
        wallet = self.wallet
        if who is None or who in wallet.names():
            return wallet.describe(wallet.choose(who)).account
        return self.resolve(who)

    def _pin(self, client: NodeClient) -> None:
        """Remember the network on the first transaction; later ones are held to it."""
        if self.network() is None:
            genesis = client.genesis_hash()
            save_network(self.home, Network(genesis, client.url, self.node_fingerprint()))
            note(f"network {genesis.hex()} pinned in {self.home / NETWORK_FILE}")

    def _find_password(self, prompt: str, confirm: bool) -> str:
        if self.password_file == "-":
            return sys.stdin.readline().rstrip("\r\n")
        if self.password_file is not None:
            return _password_in_file(Path(self.password_file))
        if ENV_PASSWORD in os.environ:
            return os.environ[ENV_PASSWORD]
        if not sys.stdin.isatty():
            raise SessionError(
                "a password is needed and there is nobody to ask",
                code="no_password",
                hint=f"Give --password-file FILE (mode 0600), or set {ENV_PASSWORD}.",
            )
        import click

        return str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))


def load_network(home: Path) -> Network | None:
    """Return the network that `home` is pinned to, None if there is none; raises SessionError."""
    path = home / NETWORK_FILE
    try:
        with path.open("rb") as handle:
            found = json.loads(handle.read(MAX_NETWORK_FILE_BYTES))
        fingerprint = bytes.fromhex(found.get("fingerprint", ""))
        network = Network(bytes.fromhex(found["genesis"]), str(found["node"]), fingerprint)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise SessionError(
            f"cannot read {path}", actual=error, hint="Delete it to pin the network anew."
        ) from error
    if len(network.genesis) != 32:
        raise SessionError(f"{path} names no network", hint="Delete it to pin the network anew.")
    return network


def save_network(home: Path, network: Network) -> None:
    """Pin `home` to `network`; raises SessionError."""
    document = {"genesis": network.genesis.hex(), "node": network.node}
    if network.fingerprint:
        document["fingerprint"] = network.fingerprint.hex()
    text = json.dumps(document, indent=1) + "\n"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = home / (NETWORK_FILE + ".new")
        temporary.write_text(text, encoding="ascii")
        temporary.replace(home / NETWORK_FILE)
    except OSError as error:
        raise SessionError(
            f"cannot write to {home}: {error.strerror}", hint="Choose another with --home."
        ) from error


def _password_in_file(path: Path) -> str:
    from node.private_file import read_private_file

    data = read_private_file(path, max_bytes=4096)
    return data.decode("utf-8", "surrogateescape").split("\n", 1)[0].rstrip("\r")
