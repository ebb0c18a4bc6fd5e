"""A simulated node: an engine, a driver that keeps the interface's contract, and a disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from consensus import interface as api
from consensus.messages import CommitCertificate, Message, Proposal, SigningState, Status, Vote
from consensus.validator_set import ValidatorSet
from tests.consensus.conformance.world import GENESIS, Block, World

Factory = Callable[[api.EngineConfig, bytes | None], api.Engine]
SYNC_BATCH = 32


@dataclass(frozen=True, slots=True)
class Packet:
    """What travels: a message with its block, a block, a request, or a piece of chain."""

    message: Message | None = None
    block: Block | None = None
    wanted: bytes = b""
    sync_from: int = 0
    chain: tuple[tuple[Block, CommitCertificate | None], ...] = ()


class Host(Protocol):
    """What a node needs of the simulation."""

    world: World
    peers: int

    def wall_ms(self) -> int:
        """The nodes' clock."""

    def send(self, source: int, target: int, packet: Packet) -> None:
        """Put a packet on the wire."""

    def later(self, node: Node, delay_ms: int, event: api.Input, token: int | None) -> None:
        """Feed an event after a delay, if the process lives then."""

    def delay_ms(self) -> int:
        """A short random time that some work takes."""

    def sealing_ms(self, work: int) -> int:
        """A random time that a search takes which needs `work` hashes on average."""

    def fresh_id(self) -> bytes:
        """An id that no block has."""


@dataclass(slots=True)
class Disk:
    """What survives a crash."""

    state: SigningState | None = None
    blocks: dict[bytes, Block] = field(default_factory=dict)
    chain: list[tuple[Block, CommitCertificate | None]] = field(default_factory=list)

    @property
    def head(self) -> Block:
        """The last final block."""
        return self.chain[-1][0] if self.chain else GENESIS


class Node:
    """Executes an engine's outputs in order; one that is a `liar` builds invalid blocks."""

    def __init__(
        self, place: int, host: Host, factory: Factory, config: api.EngineConfig, *, liar: bool
    ) -> None:
        self.place = place
        self.host = host
        self.liar = liar
        self.disk = Disk()
        self.alive = False
        self.incarnation = 0
        self._factory = factory
        self._config = config

    @property
    def validators(self) -> ValidatorSet:
        return self.host.world.validators

    @property
    def index(self) -> int:
        """Whose key it has: a twin has that of another node."""
        return self.place % len(self.validators)

    @property
    def honest(self) -> bool:
        return self.index not in self.host.world.dishonest

    def start(self) -> None:
        """Begin with what is on disk."""
        self.alive = True
        self.incarnation += 1
        self.engine = self._factory(self._config, self.validators.members[self.index].id)
        self.blocks = dict(self.disk.blocks)
        self.tip = self.disk.head
        self.timers: dict[api.Timer, int] = {}
        self.token = 0
        self.sealing = 0
        self.queue: deque[api.Input] = deque()
        self.feed(self._started(self.disk.state))
        for block in sorted(self.disk.blocks.values(), key=lambda each: each.height):
            self.feed(self._arrived(block))
        self.feed(api.WorkAvailable(self.host.wall_ms()))

    def crash(self) -> None:
        """Lose all that is not on disk."""
        self.alive = False

    def feed(self, event: api.Input) -> None:
        """Hand an input to the engine and execute what follows."""
        self.queue.append(event)
        while self.queue and self.alive:
            for output in self.engine.handle(self.queue.popleft()):
                self._execute(output)

    def fire(self, event: api.Input, token: int | None) -> None:
        """Take a timer or a seal, unless it was replaced."""
        if isinstance(event, api.TimeoutFired) and token != self.timers.get(event.timer):
            return
        if isinstance(event, api.BlockSealed):
            if token != self.sealing:
                return
            unsealed = self.blocks[event.unsealed_id]
            self._keep(replace(unsealed, id=event.block_id, work=event.work))
        self.feed(event)

    def receive(self, source: int, packet: Packet) -> None:
        """Take what came over the wire, as driver and block sync do."""
        if packet.wanted:
            found = self.blocks.get(packet.wanted)
            if found is not None:
                self.host.send(self.place, source, Packet(block=found))
        if packet.sync_from:
            self._send_chain(source, packet.sync_from)
        for block, certificate in packet.chain:
            if self.alive and block.height > len(self.disk.chain):
                self._take_block(block)
                if certificate is not None and self.host.world.is_signed(certificate):
                    self.feed(api.CertificateArrived(certificate))
        if packet.block is not None:
            self._take_block(packet.block)
        if packet.message is not None:
            self._take_message(source, packet.message)

    def _take_block(self, block: Block) -> None:
        if block.height > len(self.disk.chain):
            self.blocks[block.id] = block
            self.feed(self._arrived(block))

    def _take_message(self, source: int, message: Message) -> None:
        if isinstance(message, Status):
            self.feed(api.PeerStatus(b"%d" % source, message))
        elif not self.host.world.is_signed(message):
            return
        elif isinstance(message, Vote):
            self.feed(api.VoteArrived(message))
        elif isinstance(message, Proposal):
            self.feed(api.ProposalArrived(message, self.host.wall_ms()))
        else:
            self.feed(api.CertificateArrived(message))

    def _started(self, resume: SigningState | None) -> api.Started:
        head = self.disk.head
        before = self.disk.chain[-2][0] if len(self.disk.chain) > 1 else GENESIS
        return api.Started(
            head.height + 1,
            self.validators,
            head.id,
            head.time_ms,
            self.host.wall_ms(),
            resume,
            head.work,
            head.time_ms - before.time_ms,
        )

    def _arrived(self, block: Block) -> api.BlockArrived:
        return api.BlockArrived(
            block.id, block.parent, block.height, block.time_ms, self.host.wall_ms(), block.work
        )

    # --- outputs ----------------------------------------------------------------------------

    def _execute(self, output: api.Output) -> None:
        world = self.host.world
        match output:
            case api.Persist(state):
                if self.honest:
                    world.check_persist(self.disk.state, state)
                self.disk.state = state
                for block_id in (state.locked_block, state.valid_block, state.precommit_block):
                    if block_id in self.blocks:
                        self._keep(self.blocks[block_id])
            case api.SignVote(vote):
                self._check_signature(vote)
                signature = b"%d" % vote.validator_index
                self.queue.append(api.VoteArrived(replace(vote, signature=signature)))
            case api.SignProposal(proposal):
                self._check_signature(proposal)
                signed = replace(proposal, signature=b"%d" % proposal.validator_index)
                self.queue.append(api.ProposalArrived(signed, self.host.wall_ms()))
            case api.Broadcast(message):
                self._broadcast(self._packet(message))
            case api.Send(peer, message):
                self.host.send(self.place, int(peer), self._packet(message))
            case api.ShareBlock(block_id):
                self._broadcast(Packet(block=self.blocks[block_id]))
            case api.ScheduleTimeout(height, round_, timer, delay_ms):
                self.token += 1
                self.timers[timer] = self.token
                fired = api.TimeoutFired(height, round_, timer)
                self.host.later(self, delay_ms, fired, self.token)
            case api.BuildBlock(height, round_):
                self._build(height, round_)
            case api.SealBlock(block_id, work):
                self.token += 1
                self.sealing = self.token
                sealed = api.BlockSealed(block_id, self.host.fresh_id(), work)
                self.host.later(self, self.host.sealing_ms(work), sealed, self.token)
            case api.CheckBlock(block_id):
                verdict = self.liar or self.blocks[block_id].valid
                checked = api.BlockChecked(block_id, verdict)
                self.host.later(self, self.host.delay_ms(), checked, None)
            case api.AdoptBranch(_, block_ids):
                self.tip = self.blocks[block_ids[-1]]
                for block_id in block_ids:
                    self._keep(self.blocks[block_id])
            case api.FetchBlock(block_id, _):
                self._broadcast(Packet(wanted=block_id))
            case api.BlocksMissing(peer, _):
                packet = Packet(sync_from=len(self.disk.chain) + 1)
                if peer is None:
                    self._broadcast(packet)
                else:
                    self.host.send(self.place, int(peer), packet)
            case api.PeerBehind(peer, height):
                self._send_chain(int(peer), height)
            case api.ReportEvidence():
                if self.honest:
                    world.check_evidence(self.place, output)
            case api.Finalised():
                self._commit(output)

    def _check_signature(self, message: Vote | Proposal) -> None:
        if self.honest:
            self.host.world.check_signature(self.place, self.disk.state, message)

    def _keep(self, block: Block) -> None:
        """Have a block survive a crash."""
        self.host.world.blocks[block.id] = block
        self.blocks[block.id] = self.disk.blocks[block.id] = block

    def _packet(self, message: Message) -> Packet:
        block = self.blocks.get(message.block_id) if isinstance(message, Proposal | Vote) else None
        return Packet(message=message, block=block)

    def _broadcast(self, packet: Packet) -> None:
        for target in range(self.host.peers):
            if target != self.place:
                self.host.send(self.place, target, packet)

    def _send_chain(self, target: int, height: int) -> None:
        piece = tuple(self.disk.chain[max(height, 1) - 1 :][:SYNC_BATCH])
        if piece:
            self.host.send(self.place, target, Packet(chain=piece))

    def _build(self, height: int, round_: int) -> None:
        parent = self.tip if self.tip.height == height - 1 else self.disk.head
        time_ms = max(self.host.wall_ms(), parent.time_ms + 1)
        valid = parent.valid and not self.liar
        block = Block(self.host.fresh_id(), parent.id, height, time_ms, valid=valid)
        self._keep(block)
        built = api.BlockBuilt(height, round_, block.id, time_ms)
        self.host.later(self, self.host.delay_ms(), built, None)

    def _commit(self, output: api.Finalised) -> None:
        block = self.blocks[output.block_id]
        if self.honest:
            self.host.world.check_final(self.place, output, self.disk.head.id)
        self.disk.chain.append((block, output.certificate))
        if self.tip.height <= block.height:
            self.tip = block
        self.disk.blocks = {
            key: each for key, each in self.disk.blocks.items() if each.height > block.height
        }
        self.timers.clear()
        self.queue.appendleft(api.WorkAvailable(self.host.wall_ms()))
        self.queue.appendleft(self._started(None))
