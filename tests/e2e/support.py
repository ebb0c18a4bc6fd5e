"""What the tests of the whole program share: waiting, commands, members who trade."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

from node.ledger.transaction import Transaction, sign_transaction
from tools.calls import buy, post_offer, transfer
from vm.primitives.address import account_id
from vm.primitives.signatures import public_key
from vm.runtime import Call

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_S = 60.0
MARKET = "local"
KWH = 1_000_000
TOKEN = 1_000_000
ROLES = ["operator", "validator", "prosumer", "consumer"]

Json = dict[str, object]
T = TypeVar("T")


# --- waiting -------------------------------------------------------------------------------------


def until(
    condition: Callable[[], T | None],
    what: str,
    *,
    deadline_s: float = DEADLINE_S,
    pause_s: float = 0.02,
) -> T:
    """Return the condition's first true value; fail at the deadline."""
    end_s = time.monotonic() + deadline_s
    while not (found := condition()):
        if time.monotonic() >= end_s:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(pause_s)
    return found


def children(pid: int) -> list[int]:
    """Return the ids of a process's children, theirs included."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    except OSError:
        return []
    found = [int(word) for word in text.split()]
    return found + [each for child in found for each in children(child)]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def stop_in_order() -> None:
    """Have the first SIGTERM or SIGHUP end this process as an exception does.

    So every `finally` runs, and no node that a campaign started outlives it.
    """

    def stop(number: int, _: object) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)


# --- commands ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    arguments: Sequence[str]
    status: int
    out: str
    err: str

    @property
    def json(self) -> Json:
        """Standard output as one JSON object."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


@dataclass
class Commands:
    """Runs `bitenergy` as a person's shell would, in a folder of its own."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    """More environment variables."""

    def run(self, *arguments: str, status: int | None = 0, timeout_s: float = 60) -> Outcome:
        """Run a command and return what came of it; with `status` None any exit status is fine."""
        done = subprocess.run(
            [*command_words(), *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout_s,
            check=False,
        )
        outcome = Outcome(arguments, done.returncode, done.stdout, done.stderr)
        assert status is None or outcome.status == status, outcome
        assert "Traceback" not in outcome.out + outcome.err, outcome
        return outcome

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
            "BITENERGY_PORTS": os.environ["BITENERGY_PORTS"],
            **self.settings,
        }

    @contextlib.contextmanager
    def background(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command beside the test; it is killed at the end if it still runs."""
        process = subprocess.Popen(
            [*command_words(), *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)

    def ask(self, *arguments: str, status: int | None = 0) -> Json:
        """Run a command with `--json` and return the one object that it printed."""
        outcome = self.run(*arguments, "--json", status=status)
        try:
            return outcome.json
        except ValueError as error:
            raise AssertionError(f"not JSON: {outcome}") from error


def command_words() -> list[str]:
    """Return how `bitenergy` is called: the installed entry point, else the module."""
    installed = Path(sys.executable).with_name("bitenergy")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "tools.cli"]


# --- members -------------------------------------------------------------------------------------


@dataclass
class Member:
    """A member of the network, and how far its nonces have come."""

    name: str
    seed: bytes = field(repr=False)
    nonce: int = 0

    @property
    def key(self) -> bytes:
        """The public key, 32 bytes."""
        return public_key(self.seed)

    @property
    def account(self) -> bytes:
        """The account's id, 20 bytes."""
        return account_id(self.key)

    def sign(self, genesis: bytes, *calls: Call, **terms: object) -> Transaction:
        """Return the member's next transaction; `terms` replace what it says beside its calls."""
        fields: dict[str, object] = {
            "genesis": genesis,
            "sender": self.account,
            "key": self.key,
            "nonce": self.nonce,
            "gas_limit": 1_000_000,
            "max_fee_micro": 0,
            "expiry_height": 50_000,
            "calls": calls,
        }
        if "nonce" not in terms:
            self.nonce += 1
        return sign_transaction(self.seed, **{**fields, **terms})  # type: ignore[arg-type]


def make_member(name: str) -> Member:
    """Return a member whose key follows from its name."""
    return Member(name, name.encode().ljust(32, b"."))


def genesis_template(
    members: Sequence[Member], *, parameters: Mapping[str, int] | None = None
) -> dict[str, object]:
    """Return a template whose members each have 1000 tokens and 1000 kWh, and one market."""
    return {
        "chain": "e2e",
        "engine": {"name": "poa", "parameters": {}},
        "parameters": {"block_interval_ms": 50, "heartbeat_ms": 3_600_000, **(parameters or {})},
        "roles": ROLES,
        "members": [
            {"name": "operator", "roles": ["operator"]},
            *(
                {
                    "name": member.name,
                    "roles": ["prosumer", "consumer"],
                    "balance": "1000",
                    "energy": "1000",
                    "key": member.key.hex(),
                }
                for member in members
            ),
        ],
        "modules": {
            "market": {
                "markets": [{"name": MARKET, "line_policy": "ignore", "interval_minutes": 0}]
            }
        },
    }


class Traffic:
    """Offers, purchases and transfers of members, each member's nonces in order."""

    def __init__(self, genesis: bytes, members: Sequence[Member], seed: int = 1) -> None:
        self.genesis = genesis
        self.members = list(members)
        self._random = Random(seed)

    def next(self, member: Member) -> Transaction:
        """Return the member's next transaction."""
        kind = self._random.randrange(5)
        if kind < 2:
            price = self._random.randrange(8 * TOKEN, 12 * TOKEN, TOKEN // 100)
            return member.sign(self.genesis, post_offer(MARKET, 0, 12 * KWH // 100, price))
        if kind < 4:
            call = buy(MARKET, 0, KWH // 10, 20 * TOKEN, allow_partial=True)
            return member.sign(self.genesis, call)
        to = self._random.choice([each for each in self.members if each is not member])
        return member.sign(self.genesis, transfer(to.account, 1 + self._random.randrange(TOKEN)))


def send_raw(port: int, data: bytes, *, wait_s: float = 2.0) -> bytes:
    """Send bytes to a port of this machine and return what comes back until it closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65_536):
                received += chunk
    return received
