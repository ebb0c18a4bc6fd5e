"""Proof of work: the heaviest branch is preferred, and final once enough blocks stand on it.

The engine keeps the blocks above the last final one as a tree. It asks for a check only of
blocks with the work that their parent's header demands, in the order in which they stand on one
another, and only on a branch heavier than the preferred one. Rules, beside those of `work`:

* The branch with the greatest total work is preferred; among equals the one seen first.
* A branch that leaves the chain at or below the last final block is refused, whatever its work.
* A block that is dated beyond the local clock's `max_drift_ms` waits until the clock is there, and
  so do those on it. As long as a heavier branch waits for that or for its check, none becomes
  final beside it: it may be this node's own clock that is wrong.
* Who may mine looks for a seal at all times, with or without transactions: blocks that stand on
  a transaction are what makes it final, and gaps would make every forger's work cheaper.
"""

from dataclasses import dataclass
from typing import Final

from consensus.block_tree import BlockTree, TreeBlock
from consensus.interface import (
    AdoptBranch,
    BlockArrived,
    BlockBuilt,
    BlockChecked,
    BlockSealed,
    BlocksMissing,
    BuildBlock,
    CertificateArrived,
    CheckBlock,
    EngineConfig,
    EngineView,
    FetchBlock,
    Finalised,
    Input,
    Output,
    PeerStatus,
    ProposalArrived,
    ScheduleTimeout,
    SealBlock,
    ShareBlock,
    Started,
    TimeoutFired,
    Timer,
    VoteArrived,
    WorkAvailable,
)
from consensus.messages import NO_ROUND, EngineMisuse, Step
from consensus.validator_set import ValidatorSet
from consensus.work import WorkRules, counted_interval_ms, next_difficulty

MAX_REFUSED: Final = 1_024
TREE_MARGIN: Final = 256
"""How many blocks more than three branches of the final depth the tree holds."""
FETCHED_HEIGHTS: Final = 32
"""What lies further ahead than this and the final depth comes by block sync.

Block sync brings what is final at others; the rest is fetched parent by parent.
"""
LEAST_REFRESH_MS: Final = 20


@dataclass(frozen=True, slots=True)
class WorkView:
    """What proof of work says of itself, for metrics and status pages."""

    difficulty: int
    """The work that the next block on the tip needs."""
    tip: bytes
    """The last block of the preferred branch."""
    tip_height: int
    """Its height."""
    undecided: int
    """Blocks above the last final one, on all branches."""
    deep_forks: int
    """Blocks refused because their branch leaves the final chain."""


class PowEngine:
    """One node's engine; it mines if it has an id."""

    def __init__(self, config: EngineConfig, own_id: bytes | None, rules: WorkRules) -> None:
        """Take the timing, this miner's id (None: follow only) and the network's numbers."""
        self._config = config
        self._own_id = own_id
        self._rules = rules
        self._fetched_heights = rules.finality_depth + FETCHED_HEIGHTS
        self._tree: BlockTree | None = None
        self._validators: ValidatorSet | None = None
        self._orphans: dict[bytes, BlockArrived] = {}
        self._refused: dict[bytes, None] = {}
        self._built: dict[bytes, BlockBuilt] = {}
        self._builds = 0
        self._arrivals = 0
        self._deep_forks = 0
        self._deciding = False
        self._resent = b""
        self._local_time_ms = 0
        self._out: list[Output] = []

    # --- the interface ----------------------------------------------------------------------

    def handle(self, event: Input) -> list[Output]:
        """Take one input and return the outputs to execute in order.

        Raises EngineMisuse if the driver broke the contract; no peer can cause it.
        """
        self._out = []
        if isinstance(event, Started):
            self._on_started(event)
        elif self._tree is None:
            raise EngineMisuse(f"the first input must be Started, got {type(event).__name__}")
        else:
            self._dispatch(self._tree, event)
        if self._tree is not None:
            self._advance(self._tree)
        return self._out

    def view(self) -> EngineView:
        """Return a snapshot for people: the height is that of the block being mined."""
        if self._tree is None:
            return EngineView(0, 0, Step.NEW_HEIGHT, 0, None, NO_ROUND, (), ())
        step = Step.PROPOSE if self._built else Step.NEW_HEIGHT
        own = self._own_index()
        return EngineView(self._tip.height + 1, 0, step, own or 0, own, NO_ROUND, (), ())

    def work_view(self) -> WorkView:
        """Return difficulty and tip; meaningful after the first `Started`."""
        if self._tree is None:
            return WorkView(0, b"", 0, 0, 0)
        return WorkView(
            self._needed(self._tip),
            self._tip.id,
            self._tip.height,
            len(self._tree) - 1,
            self._deep_forks,
        )

    def _dispatch(self, tree: BlockTree, event: Input) -> None:
        """Hand an input to what takes it."""
        if isinstance(event, BlockArrived):
            self._local_time_ms = event.local_time_ms
            self._on_block(tree, event)
        elif isinstance(event, BlockChecked):
            self._on_checked(tree, event)
        elif isinstance(event, BlockBuilt):
            if event.round == self._builds and self._own_id is not None:
                # The search may end for the block before this one, just now.
                self._built = dict([*self._built.items()][-1:])
                self._built[event.block_id] = event
                self._out.append(SealBlock(event.block_id, self._needed(self._tip)))
        elif isinstance(event, BlockSealed):
            self._on_sealed(tree, event)
        elif isinstance(event, TimeoutFired):
            self._on_timeout(tree, event)
        elif isinstance(event, WorkAvailable):
            self._local_time_ms = event.local_time_ms
        elif not isinstance(event, VoteArrived | ProposalArrived | CertificateArrived | PeerStatus):
            raise EngineMisuse(f"{type(event).__name__} is no input of this engine")

    # --- heights ----------------------------------------------------------------------------

    def _on_started(self, event: Started) -> None:
        """Take the last final block as the root: it was committed, or the process begins."""
        tree = self._tree
        if tree is not None and event.height <= tree.root.height + 1:
            raise EngineMisuse(f"height {event.height} starts after {tree.root.height + 1}")
        self._local_time_ms = event.local_time_ms
        self._validators = event.validators
        self._deciding = False
        if tree is not None and tree.get(event.last_block_id) is not None:
            tree.settle(event.last_block_id)
            for block in tree:
                block.asked = block.valid is not None  # what was under way was given up
        else:
            height = event.height - 1
            root = TreeBlock(
                event.last_block_id,
                b"",
                height,
                event.last_block_time_ms,
                self._rules.target_interval_ms if height <= 1 else event.last_block_interval_ms,
                event.last_block_work,
                0,
                0,
                valid=True,
                asked=True,
            )
            tree = self._tree = BlockTree(root, 3 * self._rules.finality_depth + TREE_MARGIN)
            self._tip = root
        if tree.get(self._tip.id) is None:
            self._tip = tree.root
        lowest = tree.root.height + 2
        for orphan in [each for each in self._orphans.values() if each.height < lowest]:
            self._refuse_fork(orphan)
        self._schedule_resend()
        self._mine()

    # --- blocks -----------------------------------------------------------------------------

    def _on_block(self, tree: BlockTree, event: BlockArrived) -> None:
        """Take in a block, and those that waited for it."""
        waiting = [event]
        while waiting:
            block = waiting.pop()
            if self._add(tree, block):
                ready = [each for each in self._orphans.values() if each.parent == block.block_id]
                for each in ready:
                    del self._orphans[each.block_id]
                waiting.extend(ready)

    def _add(self, tree: BlockTree, event: BlockArrived) -> bool:
        """Put a block into the tree if it stands there and has the work that it needs."""
        known = event.block_id in self._refused or tree.get(event.block_id) is not None
        if known or event.height <= tree.root.height:
            return False
        parent = tree.get(event.parent)
        if event.parent in self._refused:
            self._refuse(event.block_id)
            return False
        if parent is None:
            self._keep_orphan(tree, event)
            return False
        follows = event.height == parent.height + 1 and event.time_ms > parent.time_ms
        if not follows or event.work != self._needed(parent):
            self._refuse(event.block_id)
            return False
        return tree.add(self._as_block(parent, event), tip=self._tip)

    def _as_block(self, parent: TreeBlock, event: BlockArrived) -> TreeBlock:
        self._arrivals += 1
        interval_ms = counted_interval_ms(self._rules, event.height, event.time_ms, parent.time_ms)
        return TreeBlock(
            event.block_id,
            event.parent,
            event.height,
            event.time_ms,
            interval_ms,
            event.work,
            parent.total + event.work,
            self._arrivals,
        )

    def _keep_orphan(self, tree: BlockTree, event: BlockArrived) -> None:
        """Ask for a missing parent, unless the branch leaves the final chain."""
        if event.height == tree.root.height + 1:
            self._refuse_fork(event)
        elif event.height > self._tip.height + self._fetched_heights:
            self._out.append(BlocksMissing(None, event.height - self._rules.finality_depth))
        elif not event.work:
            return
        else:
            _keep(self._orphans, event, 2 * self._fetched_heights)
            if event.parent not in self._orphans:
                self._out.append(FetchBlock(event.parent, ()))

    def _refuse_fork(self, event: BlockArrived) -> None:
        """Let a branch go that leaves the final chain: what is final stays."""
        self._deep_forks += 1
        self._refuse(event.block_id)

    def _refuse(self, block_id: bytes) -> None:
        """Let a block go with all that stands on it, now and later."""
        gone = [block_id]
        while gone:
            last = gone.pop()
            self._orphans.pop(last, None)
            self._refused[last] = None
            gone.extend(key for key, item in self._orphans.items() if item.parent == last)
        while len(self._refused) > MAX_REFUSED:
            del self._refused[next(iter(self._refused))]

    def _on_checked(self, tree: BlockTree, event: BlockChecked) -> None:
        """Note a verdict; what stands on an invalid block goes with it."""
        block = tree.get(event.block_id)
        if block is None or block.valid is not None:
            return
        block.valid = event.valid
        if not event.valid:
            for gone in tree.drop(event.block_id):
                self._refuse(gone)

    def _on_sealed(self, tree: BlockTree, event: BlockSealed) -> None:
        """Put our own block on the branch that it was built for."""
        built = self._built.pop(event.unsealed_id, None)
        if built is None or event.work != self._needed(self._tip):
            return
        arrived = BlockArrived(
            event.block_id, self._tip.id, built.height, built.time_ms, 0, event.work
        )
        block = self._as_block(self._tip, arrived)
        block.valid = block.asked = True
        tree.add(block, tip=self._tip)

    def _on_timeout(self, tree: BlockTree, event: TimeoutFired) -> None:
        """Build anew with what has come since, or say again what may have been lost."""
        if event.timer is Timer.INTERVAL and event.round == self._builds:
            self._mine()
        elif event.timer is Timer.RESEND:
            self._schedule_resend()
            if self._tip is not tree.root and self._tip.id == self._resent:
                self._out.append(ShareBlock(self._tip.id))
            self._resent = self._tip.id
            known = self._orphans.keys()
            missing = [each.parent for each in self._orphans.values() if each.parent not in known]
            for block_id in dict.fromkeys(missing):
                self._out.append(FetchBlock(block_id, ()))

    # --- choice -----------------------------------------------------------------------------

    def _advance(self, tree: BlockTree) -> None:
        """Adopt the heaviest branch that is checked, check a heavier one, decide what is deep."""
        best = tree.heaviest_checked()
        if best.total > self._tip.total:
            self._adopt(tree, best)
        # A block is dated later than its parent: what stands on one that waits, waits too.
        latest_ms = self._local_time_ms + self._config.max_drift_ms
        wanted = tree.heaviest(latest_ms=latest_ms)
        if wanted.total > self._tip.total:
            first = next((each for each in tree.path(wanted) if each.valid is None), None)
            if first is not None and not first.asked:
                first.asked = True
                self._out.append(CheckBlock(first.id))
        if self._deciding or self._tip.height - tree.root.height <= self._rules.finality_depth:
            return
        first_above = tree.path(self._tip)[0]
        heaviest = tree.heaviest()
        if heaviest.total > self._tip.total and tree.path(heaviest)[0] is not first_above:
            return  # not checked as yet, or its time has not come: it may be what all others have
        self._deciding = True
        self._out.append(Finalised(first_above.height, first_above.id, None))

    def _adopt(self, tree: BlockTree, tip: TreeBlock) -> None:
        """Prefer another tip from now on, and mine on it."""
        ancestor = tree.common_ancestor(self._tip, tip)
        above = [each.id for each in tree.path(tip) if each.height > ancestor.height]
        self._tip = tip
        self._built.clear()
        self._out.append(AdoptBranch(ancestor.id, tuple(above)))
        self._out.append(ShareBlock(tip.id))
        self._mine()

    def _needed(self, parent: TreeBlock) -> int:
        """Return the difficulty of a block on `parent`."""
        return next_difficulty(self._rules, parent.work, parent.interval_ms)

    # --- mining -----------------------------------------------------------------------------

    def _mine(self) -> None:
        """Have a block built on the tip, and again in half an interval."""
        self._builds += 1
        if self._own_index() is None:
            return
        self._out.append(BuildBlock(self._tip.height + 1, self._builds))
        refresh_ms = max(self._rules.target_interval_ms // 2, LEAST_REFRESH_MS)
        self._schedule(Timer.INTERVAL, refresh_ms)

    def _own_index(self) -> int | None:
        if self._own_id is None or self._validators is None:
            return None
        return self._validators.index_of(self._own_id)

    def _schedule_resend(self) -> None:
        """Look in a while whether the tip has to be told again."""
        pause_ms = max(self._config.resend_ms, self._rules.target_interval_ms)
        self._schedule(Timer.RESEND, pause_ms)

    def _schedule(self, timer: Timer, delay_ms: int) -> None:
        """Set a timer; its round is the number of the build."""
        height = 0 if self._tree is None else self._tree.root.height + 1
        self._out.append(ScheduleTimeout(height, self._builds, timer, delay_ms))


def _keep(kept: dict[bytes, BlockArrived], event: BlockArrived, limit: int) -> None:
    """Keep a block aside; the one kept longest gives way."""
    kept[event.block_id] = event
    if len(kept) > limit:
        del kept[next(iter(kept))]
