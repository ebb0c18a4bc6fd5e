"""Random signed transactions of every market module into a chain, block by block as nodes do it.

Each block is built, and checked again as another node would. Members trade in day markets, call
auctions and the posted market, charge, respond, hold certificates; operators and a DSO register and
revoke meters, suspend and remove members and change their roles; keys rotate; voters change terms;
and sometimes the chain stands still for hours. After each block all money and energy adds up,
nothing that was due failed, and nothing but a refusal comes of any call.

`python -m tests.market.random_calls --seeds 50` is the campaign; the suite draws a few.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from market.auction.rounds import commitment_of as auction_commitment
from market.day import clearing, settlement
from market.day.orders import commitment_of as day_commitment
from node.ledger.transaction import Transaction, sign_transaction
from node.modules import make_runtime
from tests.ledger.support import TIME_MS, Chain, id_of, key_of, node_proof, seed
from tests.market.random_network import (
    ACCOUNTS,
    CALLED,
    COUNTERS,
    HOMES,
    MINUTE,
    MODULES_SECTIONS,
    NUMBERS,
    PROFILES,
    QUARTER,
    ROLES,
    SENDERS,
    TERMS,
    TRADERS,
    VALUES,
    roles_of,
)
from tests.market.support import tokens
from vm.context import BlockContext, CallContext, read_last_number
from vm.overlay import INDEX_SPACE, ORDERED_SPACES, Overlay
from vm.primitives.signatures import public_key
from vm.runtime import Call
from vm.system.accounts import ACCOUNT_SPACE, decode_account, load_supply


class FinalState:
    """The state after the last block as a store gives it, changed in place."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.pages: dict[str, bytes | None] = {}
        self._ordered: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        for place in range(bisect_left(self._ordered, start), bisect_left(self._ordered, end)):
            yield self._ordered[place], self.entries[self._ordered[place]]

    def page(self, path: str) -> bytes | None:
        return self.pages.get(path)

    def absorb(self, overlay: Overlay, pages: dict[str, bytes | None]) -> None:
        for key, value in overlay.changes.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
        self._ordered = sorted(key for key in self.entries if key[0] in ORDERED_SPACES)
        self.pages.update(pages)


class RandomCalls(Chain):
    """A chain and what its members do, all by one seed."""

    def __init__(self, number: int) -> None:
        self.rng = rng = random.Random(number)
        names = ("Op", "Op2", "D", "U", "V1", "V2", "V3", "V4", *HOMES)
        members = [self._member(name) for name in (*names, *("M" + name for name in HOMES))]
        runtime = make_runtime(ROLES)
        modules = [
            each for name, each in runtime.modules.items() if name not in ("accounts", "members")
        ]
        price = rng.choice((0, 0, 1))
        super().__init__(
            *modules,
            roles=list(ROLES),
            members=members,
            modules=MODULES_SECTIONS,
            parameters={
                "due_gas_per_block": rng.choice((2_100_000, 10_000_000)),
                "gas_price_micro": price,
            },
        )
        self.methods = {name: self.runtime.modules[name].methods() for name in CALLED}
        self.final = FinalState()
        self._settle()
        self.members = {name: id_of(name) for name in names}
        self.meters = {"M" + name: id_of("M" + name) for name in HOMES}
        self.purposes: dict[str, str] = {}
        self.rotations: dict[Any, tuple[str, str]] = {}
        self.registers = dict.fromkeys(self.meters, (0, 0))
        self.read_to = dict.fromkeys(self.meters, TIME_MS // QUARTER)
        self.commitments: dict[bytes, tuple[str, tuple[Any, ...]]] = {}
        self.sealed: list[tuple[str, Call]] = []
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.blocks = 0

    @staticmethod
    def _member(name: str) -> dict[str, object]:
        found: dict[str, object] = {"name": name, "key": key_of(name).hex()}
        if name[0] == "V":
            found["vote_key"] = key_of(name, "vote").hex()
            found["node_key"] = key_of(name, "node").hex()
            found["node_proof"] = node_proof(name).hex()
        home = name in HOMES
        return found | {
            "roles": list(roles_of(name)),
            "balance": "4000" if home else "2000" if name == "U" else "5",
            "energy": "20" if home else "0",
            "bus": f"n{1 + int(name[1]) % 3}" if home else "",
        }

    @property
    def now(self) -> int:
        """The time of the last block."""
        return self.parent.header.time_ms

    def run_blocks(self, count: int) -> None:
        """Grow by so many blocks, and check each."""
        for _ in range(count):
            rng = self.rng
            transactions: list[Transaction] = []
            ahead: Counter[str] = Counter()
            for _ in range(rng.randrange(20)):
                name, calls = self._draw()
                transactions.append(self._sign(name, calls, ahead[name]))
                ahead[name] += 1
            minutes = rng.choice((1, 1, 2, 3, 3, 5, 5, 8, 14, rng.choice((15, 45, 300, 1_500))))
            self.grow(*transactions, time_ms=self.now + minutes * MINUTE + rng.randrange(1_000))

    def grow(self, *transactions: Transaction, **options: object) -> Any:
        built = super().grow(*transactions, **options)
        executed = built.candidate.executed
        for receipt in executed.receipts[: executed.first_transaction]:
            assert not receipt.code, f"what was due failed: {receipt.code}"
        for receipt, transaction in zip(built.receipts, built.candidate.transactions, strict=False):
            called = ".".join(transaction.calls[0][:2])
            if receipt.code:
                self.refused[f"{called} {receipt.code}"] += 1
            else:
                self.done[called] += 1
                self._remember(transaction.calls[0], receipt.values[0])
                if called == "members.rotate_key":
                    name, purpose = self.rotations.pop(transaction.calls[0][2][0])
                    self.purposes[name] = purpose
        self._settle()
        self._conserve()
        self.blocks += 1
        return built

    def _remember(self, call: Call, value: object) -> None:
        """Keep what opens a commitment, with the number that it got."""
        module, method, arguments = call
        if method == "commit" and arguments[2] in self.commitments:
            name, opening = self.commitments.pop(arguments[2])
            self.sealed.append((name, (module, "open", (*arguments[:2], value, *opening))))

    def _settle(self) -> None:
        state: Any = self.parent.state
        self.final.absorb(state.overlay, state.pages)
        state.settle(self.final)

    def _conserve(self) -> None:
        money = energy = 0
        for key, value in self.final.entries.items():
            if key[:1] == ACCOUNT_SPACE and len(key) == 21:
                leaf = decode_account(value)
                money += leaf.money_micro + leaf.money_reserved_micro
                energy += leaf.energy_milli_wh + leaf.energy_reserved_milli_wh
                assert min(leaf.money_micro, leaf.money_reserved_micro) >= 0
        assert (money, energy) == load_supply(self._context(self.final))

    def _context(self, state: FinalState) -> CallContext:
        block = BlockContext(self.genesis.digest, self.height, self.now, self.genesis.parameters)
        return CallContext(block, Overlay(state), 10**12)

    def check_index(self) -> None:
        """Check that the index is what the leaves give."""
        bare = FinalState()
        bare.entries = {k: v for k, v in self.final.entries.items() if k[:1] != INDEX_SPACE}
        ctx = self._context(bare)
        for key, value in bare.entries.items():
            for module in self.runtime.modules.values():
                module.rebuild_index(ctx, key, value)
        kept = {k: v for k, v in self.final.entries.items() if k[:1] == INDEX_SPACE}
        assert ctx.state.changes == kept

    def _sign(self, name: str, calls: tuple[Call, ...], ahead: int) -> Transaction:
        seed_ = seed(name, self.purposes.get(name, "account"))
        small = self.rng.random() < 0.03
        return sign_transaction(
            seed_,
            genesis=self.genesis.digest,
            sender=id_of(name),
            key=public_key(seed_),
            nonce=self.nonce(name) + ahead,
            gas_limit=self.rng.randrange(1_500, 5_000) if small else 400_000,
            max_fee_micro=400_000,
            expiry_height=self.height + 9,
            calls=calls,
        )

    def _draw(self) -> tuple[str, tuple[Call, ...]]:
        """Return who sends, and what."""
        rng = self.rng
        if self.sealed and rng.random() < 0.3:
            place = rng.randrange(len(self.sealed))
            name, call = self.sealed[place]
            delivery_ms = call[2][1] * QUARTER
            if delivery_ms - 45 * MINUTE < self.now:
                self.sealed.pop(place)
            elif self.now + 3 * MINUTE < delivery_ms - 60 * MINUTE and rng.random() < 0.95:
                return self._trade()
            return (name if rng.random() < 0.95 else rng.choice(HOMES)), (call,)
        draws: tuple[tuple[float, Callable[[], tuple[str, tuple[Call, ...]]]], ...] = (
            (0.25, self._trade),
            (0.20, self._read),
            (0.12, self._seal),
            (0.08, self._govern),
            (0.05, self._rotate),
            (1.0, self._any),
        )
        chance = rng.random()
        for part, draw in draws:
            if chance < part:
                return draw()
            chance -= part
        return self._any()

    def _interval(self) -> int:
        return self.now // QUARTER + self.rng.choice((1, 1, 2, 2, 5, 6, 7, 0, -4))

    def _trade(self) -> tuple[str, tuple[Call, ...]]:
        rng, name = self.rng, self.rng.choice(HOMES)
        place = int(name[1])
        own = ("local", "sealed", "wires")[place % 3]
        market = own if rng.random() < 0.9 else "local"
        side = (
            ("buy", "sell")[place // 3 % 2] if rng.random() < 0.9 else rng.choice(("buy", "sell"))
        )
        price = tokens(str(rng.choice((10, 15, 16, 20, 29, 30))))
        energy = rng.choice((1, 1_000, 10**6, 1_234_567, 3 * 10**6))
        steps: tuple[tuple[int, int], ...] = ((energy, price),)
        if rng.random() < 0.3:
            other = price + (1 if side == "sell" else -1) * rng.randrange(1, 10**6)
            steps = (*steps, (energy, other))
        count = rng.choice((1, 1, 1, 4))
        last = rng.choice((255, 255, 255, 0))
        intervals = [self.now // QUARTER + rng.randrange(1, 7) for _ in range(count)]
        return name, tuple([("day", "place", (market, i, side, steps, last)) for i in intervals])

    def _seal(self) -> tuple[str, tuple[Call, ...]]:
        rng, name = self.rng, self.rng.choice(HOMES[1::3] * 2 + HOMES)
        interval, salt = self.now // QUARTER + rng.choice((5, 6)), rng.randbytes(32)
        side = rng.choice((0, 0, 0, 1)) ^ (int(name[1]) % 2)
        price = tokens(str(rng.choice((10, 15, 16, 20, 29, 30))))
        steps = ((rng.choice((1, 10**6, 2 * 10**6)), price),)
        word = ("buy", "sell")[side]
        if rng.random() < 0.5:
            digest = auction_commitment("huang", interval, id_of(name), side, steps, salt)
            self.commitments[digest] = name, (word, steps, salt)
            cover = (tokens("70"), 2 * 10**6)
            return name, (("auction", "commit", ("huang", interval, digest, *cover)),)
        digest = day_commitment("sealed", interval, id_of(name), side, steps, 255, salt)
        self.commitments[digest] = name, (word, steps, 255, salt)
        return name, (("day", "commit", ("sealed", interval, digest, 1, tokens("70"))),)

    def _read(self) -> tuple[str, tuple[Call, ...]]:
        """Have a meter tell what it counted, or tell late, twice, with a gap, or wrongly."""
        rng, name = self.rng, self.rng.choice(list(self.meters))
        first, until = self.read_to[name], self.now // QUARTER
        registers: list[tuple[int, int]] = []
        for _ in range(first, min(until, first + 96)):
            before = self.registers[name]
            flows = rng.choice(((0, 500_000), (700_000, 0), (0, 0), (1, 1)))
            self.registers[name] = before[0] + flows[0], before[1] + flows[1]
            registers.append(self.registers[name])
        if not registers or rng.random() < 0.1:
            wrong = rng.choice(((0, 0), self.registers[name], (2**63 - 1, 0)))
            registers, first = [wrong], until - rng.randrange(8)
        else:
            self.read_to[name] = first + len(registers)
        if len(registers) > 2 and rng.random() < 0.3:
            first, registers = first + 1, registers[1:]
        return name, (("meters", "submit", (max(0, first), tuple(registers))),)

    def _rotate(self) -> tuple[str, tuple[Call, ...]]:
        name = self.rng.choice((*HOMES, "U", *self.meters))
        purpose = f"account {self.blocks} {self.rng.randrange(10**9)}"
        call = ("members", "rotate_key", (key_of(name, purpose),))
        self.rotations[key_of(name, purpose)] = name, purpose
        return name, (call,)

    def _govern(self) -> tuple[str, tuple[Call, ...]]:
        """Return what operators, the DSO and voters do."""
        rng, home = self.rng, self.rng.choice(HOMES)
        own, meter = id_of(home), id_of("M" + home)
        some = id_of(rng.choice((*HOMES[2:], *self.meters, "U")))
        status = rng.choice(("suspend", "reinstate", "reinstate", "reinstate"))
        start = self.now // QUARTER + rng.randrange(3)
        registered = (meter, own, start, *self.registers["M" + home], 0)
        vote = max(1, read_last_number(self.final, "proposal") - rng.randrange(3))
        calls: tuple[tuple[int, str, Call], ...] = (
            (10, "D", ("members", status, (some,))),
            (10, "D", ("members", "set_roles", (own, self.runtime.role_mask(TRADERS)))),
            (10, "Op", ("members", "set_bus", (own, rng.choice(("n1", "n3", ""))))),
            (1, "D", ("members", "remove", (id_of(rng.choice(HOMES[5:])),))),
            (10, "D", ("meters", "revoke", (meter, ()))),
            (30, "D", ("meters", "register", registered)),
            (9, "D", ("certificates", "register", ("P" + home, own, own, "solar", 5_000))),
            (20, "Op", ("governance", "propose_parameters", self._proposal())),
            (30, rng.choice(("Op", "Op2", "D")), ("governance", "vote", (vote, "yes"))),
        )
        ((_, who, call),) = rng.choices(calls, [weight for weight, _, _ in calls])
        return who, (call,)

    def _proposal(self) -> tuple[Any, ...]:
        (module, subject), bounds = self.rng.choice(list(TERMS.items()))
        name = self.rng.choice(list(bounds))
        values = ((name, self.rng.randint(*bounds[name])),)
        return module, subject, values, self.height + self.rng.randrange(10, 30), ""

    def _any(self) -> tuple[str, tuple[Call, ...]]:
        """Return a call of any method of the market, with arguments drawn by their names."""
        module = self.rng.choice(CALLED)
        name, found = self.rng.choice(list(self.methods[module].items()))
        declared = found.declaration.arguments
        arguments = [self._argument(module, each.name) for each in declared]
        times = [place for place, each in enumerate(declared) if each.name.endswith("_ms")]
        quarters = sorted(self.rng.sample(range(2, 12), len(times)))
        if self.rng.random() < 0.8:
            # The deadline that meters have.
            quarters[-1:] = [quarter + 1 for quarter in quarters[-2:-1]] or quarters[-1:]
        for place, quarter in zip(times, quarters, strict=True):
            arguments[place] = (self.now // QUARTER + quarter) * QUARTER
        able = [who for who in SENDERS if set(found.declaration.roles) & set(roles_of(who))]
        return self.rng.choice(able or HOMES), ((module, name, tuple(arguments)),)

    def _argument(self, module: str, name: str) -> Any:
        """Return an argument by its name: something that is there, mostly."""
        rng = self.rng
        if name in ACCOUNTS:
            return rng.choice([id_of(each) for each in (*HOMES, "U", "Op")])
        if name == "meter":
            return rng.choice(list(self.meters.values()))
        if name == "round" or name in COUNTERS:
            last = read_last_number(self.final, COUNTERS.get(name, module))
            return max(1, last - rng.randrange(3))
        if name in ("interval", "first_interval"):
            return 0 if module == "market" else self._interval()
        if name == "market" and module == "market":
            return "grid"
        if name in ("salt", "commitment"):
            return rng.randbytes(32)
        if name in PROFILES:
            return tuple([rng.choice((0, 1, 10**5)) for _ in range(rng.choice((1, 1, 2)))])
        return rng.choice(VALUES.get(name, NUMBERS))


def make_pages_small(set_attribute: Callable[[object, str, int], None]) -> None:
    """Have awards and settlements take several steps though there are few members."""
    set_attribute(clearing, "ITEMS_AT_ONCE", 2)
    set_attribute(clearing, "PAGE_ITEMS", 2)
    set_attribute(settlement, "PAGE_MEMBERS", 2)


def main() -> int:
    """Draw many seeds; print what happened."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1_000)
    parser.add_argument("--blocks", type=int, default=400)
    chosen = parser.parse_args()
    make_pages_small(setattr)
    done: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    started = time.monotonic()
    for number in range(chosen.first, chosen.first + chosen.seeds):
        chain = RandomCalls(number)
        try:
            chain.run_blocks(chosen.blocks)
            chain.check_index()
        except BaseException:
            print(f"\nseed {number} failed at height {chain.height}", file=sys.stderr)
            raise
        done += chain.done
        refused += chain.refused
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"{number - chosen.first + 1} of {chosen.seeds} chains", end=end, file=sys.stderr)
    print(f"{chosen.seeds} chains of {chosen.blocks} blocks in {time.monotonic() - started:.0f} s")
    print(f"{done.total()} calls done: " + ", ".join(f"{k} {v}" for k, v in done.most_common()))
    print(
        f"{refused.total()} refused: " + ", ".join(f"{k} {v}" for k, v in refused.most_common(40))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
