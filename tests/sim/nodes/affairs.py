"""The affairs of a simulated network: what its members decide and change while it runs.

Operators propose and vote, admit a validator or take a role; validators rotate keys and move stake.
Each affair is a list of transactions, one after the other has become final.
"""

from collections.abc import Iterator
from random import Random
from typing import Any

from node.block_index import HEIGHT_KEY
from node.engines import ENGINES as KINDS_OF_ENGINES
from node.upgrades import Support
from tests.sim.nodes.people import (
    ROLES,
    TRADERS,
    person,
    vote_seed,
)
from tests.sim.nodes.scenario import ENGINES, Affair
from tests.sim.world import Violation
from vm.primitives.signatures import public_key
from vm.runtime import Call
from vm.system.governance_records import APPLIED, ENGINE, PARAMETERS, read_proposal

LOOK_S = 0.5
AHEAD_BLOCKS = 14
UPGRADE_S = 3.0
Steps = Iterator[tuple[str, tuple[Call, ...]]]


class Affairs:
    """Carries a scenario's affairs out, and knows what has to hold from which height on."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._random = Random(f"affairs {world.scenario.seed}")
        self.done: list[str] = []
        """What was carried out, as far as the members are concerned."""
        self.applied: list[str] = []
        """Proposals that came into force."""
        self.refusals = 0
        """How often a node stopped because its software lacked what was voted for."""
        self._prices: list[tuple[int, int]] = [(0, world.scenario.gas_price_micro)]
        self._engines: list[tuple[int, str]] = [(0, world.scenario.engine)]
        self._proposed: dict[int, tuple[str, int]] = {}
        """By height: what may change from there on."""

    def plan(self) -> None:
        """Have all affairs begin in their time."""
        for affair in self._world.scenario.affairs:
            if affair.kind == "engine" and affair.node >= 0:
                self._world.processes[affair.node].support = self._older()
            self._world.loop.call_at(affair.at_s, self._begin, affair)

    def _older(self) -> Support:
        """The software of a node that lacks what the members are going to vote for."""
        lacking = self._other_engine()
        return Support(engines={name: k for name, k in KINDS_OF_ENGINES.items() if name != lacking})

    def _other_engine(self) -> str:
        return "pos" if self._world.scenario.engine == "poa" else "poa"

    def _begin(self, affair: Affair) -> None:
        self._world.network.note("affair", affair.kind, affair.node)
        self._go_on(affair, getattr(self, f"_{affair.kind}")(affair))

    def _go_on(self, affair: Affair, steps: Steps) -> None:
        step = next(steps, None)
        if step is None:
            self.done.append(affair.kind)
            return
        sent = self._world.clients.order(*step)
        self._wait(affair, steps, sent.id)

    def _wait(self, affair: Affair, steps: Steps, sent: bytes) -> None:
        if sent in self._world.clients.final:
            self._go_on(affair, steps)
        else:
            self._world.loop.call_later(LOOK_S, self._wait, affair, steps, sent)

    # --- what members do -------------------------------------------------------------------------

    def _height_ahead(self) -> int:
        depth = ENGINES[self._world.scenario.engine].parameters.get("finality_depth", 0)
        return max(self._world.checks.final, default=0) + AHEAD_BLOCKS + 2 * depth

    def _price(self, affair: Affair) -> Steps:
        """A parameter: other fees from a height on, decided by whoever votes in time."""
        height = self._height_ahead()
        price = self._world.scenario.gas_price_micro + affair.amount
        values = (("gas_price_micro", price),)
        call = ("governance", "propose_parameters", ("chain", "", values, height, ""))
        yield "O0", (call, ("governance", "vote", (1, "yes")))
        yield "O1", (("governance", "vote", (1, "yes" if affair.amount < 3 else "no")),)

    def _engine(self, affair: Affair) -> Steps:
        """Another engine from a height on."""
        numbers = tuple(sorted(ENGINES[self._other_engine()].parameters.items()))
        height = self._height_ahead()
        call = ("governance", "propose_engine", (self._other_engine(), numbers, height, ""))
        yield "O0", (call, ("governance", "vote", (1, "yes")))
        yield "O1", (("governance", "vote", (1, "yes")),)

    def _rotate(self, affair: Affair) -> Steps:
        """A validator's vote key gives way to another one."""
        process = self._world.processes[affair.node]
        key = f"{process.name}'"
        yield process.name, (("members", "set_vote_key", (public_key(vote_seed(key)),)),)
        self._take_up(process, key)

    def _take_up(self, process: Any, key: str) -> None:
        """Start a validator again with its new key, once that is the one in force.

        Beside other changes of the set, as by a slash, that can be some blocks later.
        """
        wanted = public_key(vote_seed(key))
        nodes = [other.node for other in self._world.processes if other.node is not None]
        if any(item.vote_key == wanted for node in nodes for item in node.chain.validators):
            process.vote_name = key
            process.stop()
        else:
            self._world.loop.call_later(LOOK_S, self._take_up, process, key)

    def _admit(self, affair: Affair) -> Steps:
        """A member whose node follows becomes a validator."""
        process = self._world.processes[affair.node]
        process.vote_name = process.name
        process.stop()
        account = person(process.name).account
        mask = 1 << ROLES.index("validator") | 1 << ROLES.index("prosumer")
        yield "O0", (("members", "set_roles", (account, mask)),)
        key = public_key(vote_seed(process.name))
        yield process.name, (("members", "set_vote_key", (key,)),)

    def _dismiss(self, affair: Affair) -> Steps:
        """A validator loses its role."""
        account = person(self._world.names[affair.node]).account
        yield "O0", (("members", "set_roles", (account, 1 << ROLES.index("prosumer"))),)

    def _stake(self, affair: Affair) -> Steps:
        """Stake moves, towards those who are honest and know the time."""
        random = self._random
        scenario = self._world.scenario
        sound = [n for n in range(scenario.validators) if n not in scenario.unreliable]
        for _ in range(6):
            name = self._world.names[random.choice(sound)]
            amount = random.randrange(100_000, 900_000)
            if random.randrange(2):
                trader = f"T{random.randrange(TRADERS)}"
                yield trader, (("staking", "delegate", (person(name).account, amount)),)
            else:
                yield name, (("staking", "bond", (amount,)),)

    # --- what has to hold ------------------------------------------------------------------------

    def price_at(self, height: int) -> int:
        """Return the price of gas in a block."""
        return [price for first, price in self._prices if first <= height][-1]

    def on_block(self, height: int, transactions: Any, state: Any) -> None:
        """Learn from a final block what may change, and from its state what did."""
        for transaction in transactions:
            for module, method, arguments in transaction.calls:
                if (module, method) == ("governance", "propose_parameters"):
                    self._proposed[arguments[3]] = (PARAMETERS, arguments[2][0][1])
                elif (module, method) == ("governance", "propose_engine"):
                    self._proposed[arguments[2]] = (ENGINE, arguments[0])
        proposed = self._proposed.pop(height + 1, None)
        if proposed is None:
            return
        proposal = read_proposal(state, 1)
        if proposal is not None and proposal.status == APPLIED:
            self.applied.append(proposed[0])
            if proposed[0] == PARAMETERS:
                self._prices.append((height + 1, proposed[1]))
            else:
                self._engines.append((height + 1, str(proposed[1])))

    def check_engine(self, name: str, node: Any, height: int) -> None:
        """Every node decides a height with the engine that the members chose for it."""
        wanted = [engine for first, engine in self._engines if first <= height][-1]
        decided = type(node._driver.engine).__name__.removesuffix("Engine").lower()
        if not node._driver._syncing and not node._sync.is_syncing and decided != wanted:
            raise Violation(f"switch: {name} decides block {height} by {decided}, not by {wanted}")

    def on_upgrade_needed(self, process: Any) -> None:
        """A node stops for what its software lacks: just before the height, and nowhere else."""
        first, _ = self._engines[-1]
        # Who lost power between a write and its word has the block, and nobody heard of it.
        height = int.from_bytes(process.disk.entries().get(HEIGHT_KEY, b""), "big")
        if height != first - 1 and not process.disk.is_rotten():
            raise Violation(f"switch: {process.name} stops at height {height}, not before {first}")
        if self._world.checks.signed_height(process.name) > height:
            raise Violation(f"switch: {process.name} signed what it has no engine for")
        self.refusals += 1
        self._world.network.note("upgrade", process.name, height)
        self._world.faults.down_until[process.index] = self._world.loop.time() + UPGRADE_S
        process.crash()
        process.support = Support()
