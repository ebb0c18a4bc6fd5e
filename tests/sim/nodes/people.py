"""The people of a simulated network: genesis, keys, and clients that send until it is final."""

import functools
import json
from dataclasses import dataclass
from random import Random

from node.ledger.genesis import Genesis, decode_genesis
from node.ledger.transaction import Transaction, sign_transaction
from node.p2p.certificates import NodeCertificate, make_certificate
from tests.sim.nodes.scenario import ENGINES, Scenario
from vm.primitives.address import account_id
from vm.primitives.signatures import public_key
from vm.runtime import Call

START_MS = 1_700_000_000_000
BLOCK_INTERVAL_MS = 2_000
MAX_DRIFT_MS = 10_000
PAYERS = 8
TRADERS = 8
OPERATORS = 3
ROLES = ["operator", "validator", "prosumer", "consumer"]
GAS_LIMIT = 100_000
AFFAIR_GAS = 400_000
MOST_DEARER = 3
"""How much the price of gas may rise before clients would not pay it."""
RESEND_S = 6.0
MOST_OUTSTANDING = 4
MARKET = "town"
HASHES_PER_S = 64
"""The pace of each miner."""


def seed_of(text: str) -> bytes:
    """Return the secret that belongs to a name."""
    return text.encode().ljust(32, b".")


@dataclass(frozen=True, slots=True)
class Person:
    """A member with its key."""

    name: str
    seed: bytes
    key: bytes
    account: bytes


@functools.lru_cache(256)
def person(name: str) -> Person:
    """Return the member of a name."""
    seed = seed_of(f"account {name}")
    key = public_key(seed)
    return Person(name, seed, key, account_id(key))


@functools.lru_cache(64)
def identity(name: str) -> NodeCertificate:
    """Return the identity of a member's node."""
    return make_certificate(seed_of(f"node {name}"))


def vote_seed(name: str) -> bytes:
    """Return the secret of a validator's vote key."""
    return seed_of(f"vote {name}")


def node_names(scenario: Scenario) -> list[str]:
    """Return the names of the members that run nodes, validators first."""
    return [
        *(f"V{number}" for number in range(scenario.validators)),
        *(f"F{number}" for number in range(scenario.followers)),
        *(["J0"] if scenario.joins_at_s else []),
    ]


def light_names(scenario: Scenario) -> list[str]:
    """Return the names of the members that run light nodes."""
    return [f"L{number}" for number in range(scenario.lights)]


def make_genesis(scenario: Scenario) -> tuple[Genesis, bytes]:
    """Return the genesis of a network, decoded and as bytes."""
    names = (*node_names(scenario), *light_names(scenario))
    parameters = (scenario.gas_price_micro, scenario.max_block_gas)
    return _make_genesis(scenario.engine, names, parameters, scenario.has_stakes)


@functools.lru_cache(64)
def _make_genesis(
    engine: str, names: tuple[str, ...], gas: tuple[int, int], has_stakes: bool
) -> tuple[Genesis, bytes]:
    validators = sum(name[0] == "V" for name in names)
    document = {
        "chain": "simulated",
        "time_ms": START_MS,
        "engine": {"name": engine, "parameters": _engine_parameters(engine, validators)},
        "parameters": {
            "block_interval_ms": BLOCK_INTERVAL_MS,
            "heartbeat_ms": 600_000,
            "max_drift_ms": MAX_DRIFT_MS,
            "gas_price_micro": gas[0],
            "max_block_gas": gas[1],
            "max_expiry_blocks": 1_000,
        },
        "roles": ROLES,
        "members": _members(names),
        "modules": {
            "market": {"markets": [{"name": MARKET, "line_policy": "ignore"}]},
            **(_stakes(validators) if has_stakes else {}),
            "governance": {
                "voters": {"operator": 1},
                "quorum": [1, 3],
                "threshold": [1, 2],
                "voting_period_ms": 8_000,
                "notice_blocks": 2,
            },
            "reward": {"block": f"{ENGINES[engine].reward_micro / 1_000_000:.6f}"},
        },
    }
    data = json.dumps(document).encode()
    return decode_genesis(data), data


def _members(names: tuple[str, ...]) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for name in names:
        entry: dict[str, object] = {
            "name": name,
            "roles": ["validator"] if name[0] == "V" else ["prosumer"],
            "balance": "10.0",
            "key": person(name).key.hex(),
            "node_key": identity(name).node_key.hex(),
            "node_proof": identity(name).proof.hex(),
        }
        if name[0] == "V":
            entry["vote_key"] = public_key(vote_seed(name)).hex()
        entries.append(entry)
    entries += [
        {
            "name": f"O{n}",
            "roles": ["operator"],
            "balance": "1000.0",
            "key": person(f"O{n}").key.hex(),
        }
        for n in range(OPERATORS)
    ]
    entries += [
        {
            "name": name,
            "roles": ["prosumer", "consumer"],
            "balance": "1000.0",
            "energy": "50.0",
            "key": person(name).key.hex(),
        }
        for name in [f"P{n}" for n in range(PAYERS)] + [f"T{n}" for n in range(TRADERS)]
    ]
    return entries


def _engine_parameters(engine: str, validators: int) -> dict[str, int]:
    parameters = dict(ENGINES[engine].parameters)
    if "initial_difficulty" in parameters:
        parameters["initial_difficulty"] = HASHES_PER_S * validators * BLOCK_INTERVAL_MS // 1_000
    return parameters


def _stakes(validators: int) -> dict[str, object]:
    stakes = {f"V{number}": "5" for number in range(validators)}
    terms = {"token": "money", "block_reward": "1", "slash_percent": 5}
    return {"staking": {**terms, "stakes": stakes}}


# mutable: what a client waits for
@dataclass(slots=True)
class Sent:
    """A transaction under way."""

    transaction: Transaction
    sent_s: float
    tries: int = 0


class Clients:
    """Makes traffic and sends it again until it is final."""

    def __init__(self, genesis: Genesis, seed: int, gas_price_micro: int) -> None:
        self._genesis = genesis
        self._random = Random(f"clients {seed}")
        self._max_fee_micro = gas_price_micro + MOST_DEARER
        self._nonces: dict[str, int] = {}
        self.made: dict[bytes, Transaction] = {}
        """Everything that a client signed, by id."""
        self.waiting: dict[tuple[str, int], list[Sent]] = {}
        self.final: set[bytes] = set()
        self.names = [f"P{n}" for n in range(PAYERS)] + [f"T{n}" for n in range(TRADERS)]
        others = (f"{kind}{n}" for kind in "OVF" for n in range(10))
        self.accounts = {person(name).account: name for name in (*self.names, *others)}
        self.offers = 0

    def due(self, now_s: float, fresh: int) -> list[Transaction]:
        """Return what to send now: what was not heard of for long, and `fresh` new ones."""
        batch: list[Transaction] = []
        for entries in list(self.waiting.values()):
            for sent in entries:
                if now_s - sent.sent_s >= RESEND_S:
                    sent.sent_s = now_s
                    sent.tries += 1
                    batch.append(sent.transaction)
        for _ in range(fresh):
            name = self._random.choice(self.names)
            outstanding = sum(1 for other, _ in self.waiting if other == name)
            if outstanding < MOST_OUTSTANDING:
                batch += self._make(name, now_s)
        return batch

    def _make(self, name: str, now_s: float) -> list[Transaction]:
        nonce = self._nonces.get(name, 0)
        self._nonces[name] = nonce + 1
        versions = 2 if self._random.randrange(24) == 0 else 1
        entries: list[Sent] = []
        for version in range(versions):  # two for one nonce: one of them becomes final
            calls = self._payments() if name[0] == "P" else self._trades()
            transaction = self.sign(name, nonce, calls, expiry_height=900 + 64 * version)
            self.made[transaction.id] = transaction
            entries.append(Sent(transaction, now_s))
        self.waiting[name, nonce] = entries
        return [sent.transaction for sent in entries]

    def order(self, name: str, calls: tuple[Call, ...]) -> Transaction:
        """Have a member send a transaction from now on until it is final; return it."""
        nonce = self._nonces.get(name, 0)
        self._nonces[name] = nonce + 1
        transaction = self.sign(name, nonce, calls, gas_limit=AFFAIR_GAS)
        self.made[transaction.id] = transaction
        self.waiting[name, nonce] = [Sent(transaction, -RESEND_S)]
        return transaction

    def sign(
        self,
        name: str,
        nonce: int,
        calls: tuple[Call, ...],
        *,
        expiry_height: int = 900,
        gas_limit: int = GAS_LIMIT,
    ) -> Transaction:
        """Return a member's signed transaction."""
        member = person(name)
        return sign_transaction(
            member.seed,
            genesis=self._genesis.digest,
            sender=member.account,
            key=member.key,
            nonce=nonce,
            gas_limit=gas_limit,
            max_fee_micro=self._max_fee_micro * gas_limit,
            expiry_height=expiry_height,
            calls=calls,
        )

    def _payments(self) -> tuple[Call, ...]:
        """Transfers among payers; one in four holds one that cannot be paid, and so does none."""
        random = self._random
        calls: list[Call] = []
        fails = random.randrange(4) == 0
        for place in range(random.choice((1, 1, 2, 3))):
            to = person(f"P{random.randrange(PAYERS)}").account
            amount = 10**16 if fails and place else random.randrange(1, 5_000_000)
            calls.append(("accounts", "transfer", (to, amount, "")))
        if fails and len(calls) == 1:
            calls.append(("accounts", "transfer", (person("P0").account, 10**16, "")))
        return tuple(calls)

    def _trades(self) -> tuple[Call, ...]:
        random = self._random
        kind = random.randrange(10)
        price = random.randrange(8_000_000, 12_000_000, 10_000)
        energy = random.choice((1_000, 12_345, 120_000))
        if kind < 4:
            self.offers += 1
            return (("market", "post", (MARKET, 0, energy, price)),)
        if kind < 8:
            return (("market", "buy", (MARKET, 0, energy, price, bool(random.randrange(2)))),)
        offer = random.randrange(1, self.offers + 2)
        if kind == 8:
            return (("market", "withdraw", (MARKET, offer)),)
        return (("market", "update", (MARKET, offer, energy, price)),)

    def on_final(self, transaction: Transaction) -> None:
        """Stop sending what is final, or can be no more."""
        self.final.add(transaction.id)
        name = self.accounts.get(transaction.sender)
        if name is not None:
            self.waiting.pop((name, transaction.nonce), None)
