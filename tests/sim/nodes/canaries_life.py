"""Canaries of what networks live through: proof of work, snapshots, light nodes and votes."""

from dataclasses import replace
from typing import Any

from consensus import pow as work_engine
from consensus.block_tree import BlockTree, TreeBlock
from consensus.pow import PowEngine
from node import driver, undecided, work_gate
from node.block_work import BlockWork
from node.chain import Chain
from node.driver import Driver
from node.light import headers as light_headers
from node.light import node as light_node
from node.light.headers import HeaderChain
from node.mempool import Mempool
from node.pruning import Pruner
from node.snapshot import joining
from node.snapshot.format import ProvedChunk
from node.snapshot.proof import ValidatorPath
from node.snapshot.staging import Staging
from node.undecided import UndecidedChain
from tests.sim.nodes import simulation
from tests.sim.nodes.garden import Canary, Garden
from tests.sim.nodes.scenario import Scenario
from vm.system.block_reward import BlockRewardModule
from vm.system.governance import GovernanceModule
from vm.system.governance_records import height_key

# --- proof of work ------------------------------------------------------------


def _difficulty_fixed(garden: Garden) -> None:
    def mutant(rules: Any, difficulty: int, interval_ms: int) -> int:
        return difficulty or int(rules.initial_difficulty)

    for place in (work_engine, work_gate):
        garden.put(place, "next_difficulty", mutant)


def _work_unproved(garden: Garden) -> None:
    def mutant(block_id: bytes, seal: bytes) -> int:
        return int.from_bytes(seal[:8], "big") if len(seal) == 16 else 0

    for place in (work_gate, driver, undecided):
        garden.put(place, "proved_work", mutant)


def _newest_preferred(garden: Garden) -> None:
    advance = PowEngine._advance

    def mutant(self: PowEngine, tree: BlockTree) -> None:
        valid = [block for block in tree if block.valid]
        newest = max(valid, key=lambda block: block.order, default=tree.root)
        if newest is not self._tip and newest is not tree.root:
            self._adopt(tree, newest)
        advance(self, tree)

    garden.put(BlockTree, "heaviest_checked", lambda self: self.root)
    garden.put(PowEngine, "_advance", mutant)


def _adopted_for_ever(garden: Garden) -> None:
    checked = BlockTree.heaviest_checked

    def mutant(self: BlockTree) -> TreeBlock:
        best = checked(self)
        return best if best is self.root else replace(best, total=10**30)

    def adopt(self: PowEngine, tree: BlockTree, tip: TreeBlock) -> None:
        real(self, tree, tree.get(tip.id) or tip)

    real = PowEngine._adopt
    garden.put(BlockTree, "heaviest_checked", mutant)
    garden.put(PowEngine, "_adopt", adopt)


def _final_too_early(garden: Garden) -> None:
    init = PowEngine.__init__

    def mutant(self: Any, config: Any, own_id: Any, rules: Any) -> None:
        init(self, config, own_id, replace(rules, finality_depth=1))

    garden.put(PowEngine, "__init__", mutant)


def _undone_forgotten(garden: Garden) -> None:
    garden.put(UndecidedChain, "_return_transactions", lambda self, undone, applied: None)


def _undone_state_kept(garden: Garden) -> None:
    stand_on = Mempool.stand_on

    def mutant(self: Any, state: Any) -> None:
        self.mutant_turns = getattr(self, "mutant_turns", 0) + 1
        if self.mutant_turns % 5:
            stand_on(self, state)

    garden.put(Mempool, "stand_on", mutant)


def _future_taken(garden: Garden) -> None:
    init = PowEngine.__init__

    def mutant(self: Any, config: Any, own_id: Any, rules: Any) -> None:
        init(self, replace(config, max_drift_ms=10**9), own_id, rules)

    garden.put(PowEngine, "__init__", mutant)


def _waiting_branch_ignored(garden: Garden) -> None:
    """Shown where a node behind by minutes has the time to build a branch as deep as final ones."""
    heaviest = BlockTree.heaviest

    def mutant(self: BlockTree, *, latest_ms: int | None = None) -> TreeBlock:
        return self.heaviest_checked() if latest_ms is None else heaviest(self, latest_ms=latest_ms)

    garden.put(BlockTree, "heaviest", mutant)
    garden.put(simulation, "HEIGHTS", 90)


def _reward_twice(garden: Garden) -> None:
    end_block = BlockRewardModule.end_block

    def mutant(self: Any, ctx: Any) -> None:
        end_block(self, ctx)
        end_block(self, ctx)

    garden.put(BlockRewardModule, "end_block", mutant)


def _branch_unchecked(garden: Garden) -> None:
    """Takes a block's header for what executing it gives."""
    execute = BlockWork.execute

    async def mutant(self: Any, block: Any) -> Any:
        parent = self._pool.candidate(block.header.parent)
        building = None
        try:
            return await execute(self, block)
        except Exception:
            chain = self._chain
            before, chain._tip = chain._tip, parent
            try:
                building = chain.building(
                    time_ms=block.header.time_ms, proposer=block.header.proposer, evidence=()
                )
                for _ in building.steps(block.transactions, slice_size=10_000):
                    pass
            finally:
                chain._tip = before
            found = building.candidate
            return replace(found, header=block.header, block_id=block.block_id, body=block.body)

    garden.put(BlockWork, "execute", mutant)


# --- snapshots and pruning ----------------------------------------------------


def _head_unproved(garden: Garden) -> None:
    garden.put(ValidatorPath, "validate_head", lambda self, manifest, trusted, pinned: None)


def _chunk_unproved(garden: Garden) -> None:
    read = joining.read_chunk

    def mutant(data: bytes, path: str, expected: bytes) -> ProvedChunk:
        try:
            return read(data, path, expected)
        except Exception:
            return ProvedChunk({}, {}, expected)

    garden.put(joining, "read_chunk", mutant)


def _index_not_rebuilt(garden: Garden) -> None:
    garden.put(Staging, "_rebuild_index", lambda self, runtime: None)


def _join_unsynced(garden: Garden) -> None:
    finish = Staging.finish

    def mutant(self: Any, *arguments: Any) -> None:
        self.slots.pop(next(iter(self.slots)))
        finish(self, *arguments)

    garden.put(Staging, "finish", mutant)


def _pruned_too_far(garden: Garden) -> None:
    on_final = Pruner.on_final

    def mutant(self: Any, height: int) -> None:
        self._keep = 0
        on_final(self, height)

    garden.put(Pruner, "on_final", mutant)


# --- light nodes --------------------------------------------------------------


def _state_proof_unchecked(garden: Garden) -> None:
    garden.put(light_node, "validate_state_inclusion", lambda proof, header: None)


def _transaction_proof_unchecked(garden: Garden) -> None:
    garden.put(light_node, "validate_transaction_inclusion", lambda proof, header: None)


def _header_certificate_unchecked(garden: Garden) -> None:
    def mutant(finality: Any, *, genesis: bytes, validators: bytes) -> Any:
        return light_headers.decode_header(finality.header)

    garden.put(light_headers, "validate_finality", mutant)


def _header_link_unchecked(garden: Garden) -> None:
    garden.put(HeaderChain, "_validate_link", lambda self, header, previous, previous_id: None)


# --- votes --------------------------------------------------------------------


def _applied_early(garden: Garden) -> None:
    end_block = GovernanceModule.end_block

    class Early:
        """A context one block ahead."""

        def __init__(self, ctx: Any) -> None:
            self._ctx = ctx
            self.height = ctx.height + 1

        def __getattr__(self, name: str) -> Any:
            return getattr(self._ctx, name)

    def mutant(self: Any, ctx: Any) -> None:
        ahead = Early(ctx)
        end_block(self, ahead if ctx.get(height_key(ctx.height + 2)) is not None else ctx)

    garden.put(GovernanceModule, "end_block", mutant)


def _engine_kept(garden: Garden) -> None:
    follow = Chain._follow_votes

    def mutant(self: Any) -> None:
        follow(self)
        self.engine = None

    garden.put(Chain, "_follow_votes", mutant)


def _engine_late(garden: Garden) -> None:
    basis = Driver._find_basis

    def mutant(self: Any) -> Any:
        found = basis(self)
        self.mutant_turns = getattr(self, "mutant_turns", 0) + 1
        return (*found[:2], None if self.mutant_turns % 4 else found[2])

    garden.put(Driver, "_find_basis", mutant)


def _upgrade_ignored(garden: Garden) -> None:
    garden.put(Chain, "validate_supported", lambda self: None)


SMOOTH, OFFERING = 0, 1
MUTE = 5


def _has_liar(scenario: Scenario, manner: int) -> bool:
    """Tell whether a liar has a manner: `SMOOTH`, or `OFFERING` truly what it then maims."""
    styles = [fault.amount for fault in scenario.faults if fault.kind == "liar"]
    return any(style % 3 == manner and style % 8 != MUTE for style in styles)


def _joins(manner: int) -> Any:
    return lambda scenario: bool(scenario.joins_at_s) and _has_liar(scenario, manner)


def _votes(kind: str, *, with_older: bool = False) -> Any:
    return lambda scenario: any(
        affair.kind == kind and (affair.node >= 0 or not with_older) for affair in scenario.affairs
    )


_SAFETY = ("agreement", "node", "heights", "acknowledged", "replay", "disk", "progress")

LIFE_CANARIES: dict[str, Canary] = {
    "difficulty-fixed": Canary(_difficulty_fixed, ("work",), engine="pow"),
    "work-unproved": Canary(_work_unproved, ("work", *_SAFETY), engine="pow"),
    "newest-preferred": Canary(_newest_preferred, ("branch", *_SAFETY), engine="pow"),
    "adopted-for-ever": Canary(_adopted_for_ever, ("progress",), engine="pow"),
    "final-too-early": Canary(_final_too_early, ("time", *_SAFETY), (2,), engine="pow"),
    "undone-forgotten": Canary(_undone_forgotten, ("undone", "node", "nonce"), (3,), "pow"),
    "undone-state-kept": Canary(_undone_state_kept, ("undone", "node", *_SAFETY), (1,), "pow"),
    "future-taken": Canary(_future_taken, ("time",), (1,), "pow"),
    "waiting-branch-ignored": Canary(
        _waiting_branch_ignored,
        ("agreement",),
        (41,),
        engine="pow",
        needs=lambda scenario: any(
            fault.kind == "clock" and fault.amount < -100_000 for fault in scenario.faults
        ),
    ),
    "reward-twice": Canary(_reward_twice, ("fee",), engine="pow"),
    "branch-unchecked": Canary(
        _branch_unchecked,
        ("header", "node", "fee", *_SAFETY),
        (2,),
        engine="pow",
        needs=lambda scenario: bool(scenario.dishonest),
    ),
    "head-unproved": Canary(_head_unproved, _SAFETY, (21,), needs=_joins(SMOOTH)),
    "chunk-unproved": Canary(_chunk_unproved, _SAFETY, (74,), needs=_joins(OFFERING)),
    "index-not-rebuilt": Canary(
        _index_not_rebuilt, _SAFETY, needs=lambda scenario: bool(scenario.joins_at_s)
    ),
    "chunk-lost": Canary(_join_unsynced, _SAFETY, needs=lambda scenario: bool(scenario.joins_at_s)),
    "pruned-too-far": Canary(
        _pruned_too_far, _SAFETY, needs=lambda scenario: bool(scenario.pruned)
    ),
    "state-proof-unchecked": Canary(
        _state_proof_unchecked,
        ("light",),
        needs=lambda scenario: bool(scenario.lights and scenario.dishonest),
    ),
    "transaction-proof-unchecked": Canary(
        _transaction_proof_unchecked,
        ("light",),
        needs=lambda scenario: bool(scenario.lights and scenario.dishonest),
    ),
    "header-certificate-unchecked": Canary(
        _header_certificate_unchecked,
        ("light",),
        needs=lambda scenario: bool(scenario.lights and scenario.dishonest),
    ),
    "header-link-unchecked": Canary(
        _header_link_unchecked,
        ("light",),
        (194,),
        needs=lambda scenario: bool(scenario.lights) and _has_liar(scenario, SMOOTH),
    ),
    "applied-early": Canary(_applied_early, ("fee", "model", "node"), needs=_votes("price")),
    "engine-kept": Canary(_engine_kept, ("switch",), needs=_votes("engine")),
    "engine-late": Canary(_engine_late, ("switch", "node"), needs=_votes("engine")),
    "upgrade-ignored": Canary(
        _upgrade_ignored, ("switch", "node"), needs=_votes("engine", with_older=True)
    ),
}
