"""A simulated honest node: a real engine, a disk that survives crashes, memory that does not."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from consensus import interface as api
from consensus.messages import (
    CommitCertificate,
    Message,
    Proposal,
    SigningState,
    Status,
    Vote,
)
from consensus.validator_set import ValidatorSet, check_certificate
from tests.sim.checkers import Checkers
from tests.sim.world import GENESIS, Block

EngineFactory = Callable[[api.EngineConfig, bytes | None], api.Engine]
SYNC_BATCH = 20


@dataclass(frozen=True, slots=True)
class Packet:
    """What travels: an engine's message with a body, a body, a request, or a piece of chain."""

    message: Message | None = None
    block: Block | None = None
    fetch: bytes | None = None
    sync_from: int | None = None
    chain: tuple[tuple[Block, CommitCertificate], ...] = ()


class Host(Protocol):
    """What a node needs of the simulator."""

    def wall_ms(self, node: int) -> int:
        """A node's clock."""

    def send(self, source: int, target: int, packet: Packet) -> None:
        """Put a packet on the wire."""

    def later(self, node: int, delay_ms: int, event: api.Input, token: int | None) -> None:
        """Feed an event after a delay."""

    def below(self, limit: int) -> int:
        """A random number of the simulation."""

    def may_crash(self, node: int) -> bool:
        """Whether this node crashes between two outputs."""

    def judges_oddly(self, node: int) -> bool:
        """Whether this node's software finds every block invalid."""

    def stop_for_conflict(self, node: int) -> None:
        """Stop a node that disagrees with a quorum."""


@dataclass(slots=True)
class Disk:
    """What survives a crash: only what was synced."""

    state: SigningState | None = None
    bodies: dict[bytes, Block] = field(default_factory=dict)
    chain: list[tuple[Block, CommitCertificate]] = field(default_factory=list)


class Node:
    """Executes an engine's outputs in order, as the contract in `consensus.interface` says."""

    def __init__(
        self,
        index: int,
        host: Host,
        checkers: Checkers,
        *,
        validators: ValidatorSet,
        factory: EngineFactory,
        config: api.EngineConfig,
        peers: int,
    ) -> None:
        self.index = index
        self.host = host
        self.checkers = checkers
        self.validators = validators
        self.factory = factory
        self.config = config
        self.peers = peers
        self.disk = Disk()
        self.alive = False
        self.busy = True
        self.incarnation = 0
        self._begin_memory()

    def _begin_memory(self) -> None:
        is_member = self.index < len(self.validators)
        own_id = self.validators.members[self.index].id if is_member else None
        self.engine = self.factory(self.config, own_id)
        self.bodies: dict[bytes, Block] = dict(self.disk.bodies)
        self.timers: dict[api.Timer, int] = {}
        self.token = 0
        self.queue: deque[api.Input] = deque()
        self.built = 0
        self.ahead: dict[int, tuple[Block, CommitCertificate]] = {}

    # --- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process on what is on disk."""
        self.alive = True
        self.incarnation += 1
        self._begin_memory()
        self.checkers.check_start(self.index, len(self.disk.chain) + 1)
        assert self.engine.view().height == 0
        self.feed(self._started(self.disk.state))
        for block in list(self.disk.bodies.values()):
            if self.alive:
                self.feed(self._arrived(block))
        self._offer_work()

    def crash(self) -> None:
        """Lose everything that was not synced."""
        self.alive = False
        self.queue.clear()

    def lose_blocks(self, count: int) -> None:
        """Have the last blocks gone from the disk; what was signed is still known."""
        if count:
            del self.disk.chain[-count:]
            self.checkers.world.heights[self.index] = len(self.disk.chain)

    def _started(self, resume: SigningState | None) -> api.Started:
        tip = self.disk.chain[-1][0] if self.disk.chain else GENESIS
        return api.Started(
            height=len(self.disk.chain) + 1,
            validators=self.checkers.world.validators_at(len(self.disk.chain) + 1),
            last_block_id=tip.id,
            last_block_time_ms=tip.time_ms,
            local_time_ms=self.host.wall_ms(self.index),
            resume=resume,
        )

    def _offer_work(self) -> None:
        if self.alive and self.busy:
            self.feed(api.WorkAvailable(self.host.wall_ms(self.index)))

    def _arrived(self, block: Block) -> api.BlockArrived:
        wall = self.host.wall_ms(self.index)
        return api.BlockArrived(block.id, block.parent, block.height, block.time_ms, wall)

    # --- inputs -----------------------------------------------------------------------------

    def feed(self, event: api.Input) -> None:
        """Hand an input to the engine and execute its outputs, and all that follow from them."""
        self.queue.append(event)
        while self.queue and self.alive:
            for output in self.engine.handle(self.queue.popleft()):
                self.checkers.on_output(self.index, output)
                self._execute(output)
                if self.host.may_crash(self.index):
                    self.crash()
                    return

    def fire(self, event: api.TimeoutFired, token: int) -> None:
        """A timer ran out, unless it was replaced."""
        if self.timers.get(event.timer) == token:
            self.feed(event)

    def receive(self, source: int, packet: Packet) -> None:
        """Take a packet, as the driver and block sync would."""
        if packet.fetch is not None:
            block = self.bodies.get(packet.fetch) or self._final(packet.fetch)
            if block is not None:
                self.host.send(self.index, source, Packet(block=block))
        elif packet.sync_from is not None:
            self._send_chain(source, packet.sync_from)
        for block, certificate in packet.chain:
            if block.height > len(self.disk.chain):
                self.ahead[block.height] = (block, certificate)
        if packet.chain and self.alive:
            self._take_next()
        if packet.block is not None:
            self._take_body(packet.block)
        if packet.message is not None and self.alive:
            self._take_message(source, packet.message)

    def _take_next(self) -> None:
        """Take the next height from what block sync brought, if it is there."""
        found = self.ahead.pop(len(self.disk.chain) + 1, None)
        if found is not None:
            self._take_body(found[0])
            self.feed(api.CertificateArrived(found[1]))

    def _final(self, block_id: bytes) -> Block | None:
        for block, _certificate in self.disk.chain[-5:]:
            if block.id == block_id:
                return block
        return None

    def _take_body(self, block: Block) -> None:
        if block.height > len(self.disk.chain):
            self.bodies[block.id] = block
            self.feed(self._arrived(block))

    def _take_message(self, source: int, message: Message) -> None:
        if isinstance(message, Vote):
            if message.signature == b"s%d" % message.validator_index:
                self.feed(api.VoteArrived(message))
        elif isinstance(message, Proposal):
            if message.signature == b"s%d" % message.validator_index:
                self.feed(api.ProposalArrived(message, self.host.wall_ms(self.index)))
        elif isinstance(message, Status):
            self.feed(api.PeerStatus(b"%d" % source, message))
        elif self._is_signed(message):
            self.feed(api.CertificateArrived(message))

    def _is_signed(self, certificate: CommitCertificate) -> bool:
        """The driver's signature check: every precommit in it was really signed."""
        voters = self.checkers.world.validators_at(certificate.height)
        if check_certificate(certificate, voters):
            return False
        return all(
            self.checkers.world.precommitted(
                index, certificate.height, certificate.round, certificate.block_id
            )
            for index, _signature in certificate.signatures
        )

    # --- outputs ----------------------------------------------------------------------------

    def _execute(self, output: api.Output) -> None:
        match output:
            case api.Persist(state):
                self.disk.state = state
                wanted = (state.locked_block, state.valid_block)
                self.disk.bodies = {id_: self.bodies[id_] for id_ in wanted if id_ in self.bodies}
            case api.SignVote(v):
                self.queue.append(
                    api.VoteArrived(
                        Vote(
                            v.kind, v.height, v.round, v.block_id, v.validator_index,
                            b"s%d" % v.validator_index,
                        )
                    )
                )  # fmt: skip
            case api.SignProposal(p):
                signed = Proposal(
                    p.height, p.round, p.block_id, p.pol_round, p.validator_index,
                    b"s%d" % p.validator_index,
                )  # fmt: skip
                wall = self.host.wall_ms(self.index)
                self.queue.append(api.ProposalArrived(signed, wall))
            case api.Broadcast(message):
                packet = self._packet(message)
                for target in range(self.peers):
                    if target != self.index:
                        self.host.send(self.index, target, packet)
            case api.Send(peer, message):
                self.host.send(self.index, int(peer), self._packet(message))
            case api.ScheduleTimeout(height, round_, timer, delay_ms):
                self.token += 1
                self.timers[timer] = self.token
                event = api.TimeoutFired(height, round_, timer)
                self.host.later(self.index, delay_ms, event, self.token)
            case api.BuildBlock(height, round_):
                self._build(height, round_)
            case api.CheckBlock(block_id):
                valid = self.bodies[block_id].valid and not self.host.judges_oddly(self.index)
                verdict = api.BlockChecked(block_id, valid)
                self.host.later(self.index, 1 + self.host.below(8), verdict, None)
            case api.Finalised(_, block_id, certificate):
                self._commit(block_id, certificate)
            case api.FetchBlock(block_id, sources):
                others = [i for i in range(self.peers) if i != self.index]
                for target in (*sources[:1], others[self.host.below(len(others))]):
                    self.host.send(self.index, target, Packet(fetch=block_id))
            case api.PeerBehind(peer, height):
                self._send_chain(int(peer), height)
            case api.BlocksMissing(peer, _):
                target = self.host.below(self.peers) if peer is None else int(peer)
                if target != self.index:
                    packet = Packet(sync_from=len(self.disk.chain) + 1)
                    self.host.send(self.index, target, packet)
            case api.QuorumConflict():
                self.host.stop_for_conflict(self.index)

    def _packet(self, message: Message) -> Packet:
        body = self.bodies.get(message.block_id) if isinstance(message, Proposal) else None
        return Packet(message=message, block=body)

    def _send_chain(self, target: int, height: int) -> None:
        piece = tuple(self.disk.chain[max(height, 1) - 1 :][:SYNC_BATCH])
        if piece:
            self.host.send(self.index, target, Packet(chain=piece))

    def _build(self, height: int, round_: int) -> None:
        tip = self.disk.chain[-1][0] if self.disk.chain else GENESIS
        self.built += 1
        name = f"h{height}r{round_}n{self.index}.{self.incarnation}.{self.built}"
        time_ms = max(self.host.wall_ms(self.index), tip.time_ms + 1)
        block = Block(name.encode(), tip.id, height, time_ms)
        self.checkers.world.blocks[block.id] = block
        self.bodies[block.id] = block
        built = api.BlockBuilt(height, round_, block.id, time_ms)
        self.host.later(self.index, 1 + self.host.below(8), built, None)

    def _commit(self, block_id: bytes, certificate: CommitCertificate | None) -> None:
        assert certificate is not None
        self.disk.chain.append((self.bodies[block_id], certificate))
        keep = len(self.disk.chain)
        self.bodies = {id_: b for id_, b in self.bodies.items() if b.height > keep}
        self.timers.clear()
        self.queue.appendleft(api.WorkAvailable(self.host.wall_ms(self.index)))
        if not self.busy:
            self.queue.popleft()
        found = self.ahead.pop(keep + 1, None)
        if found is not None:
            self.bodies[found[0].id] = found[0]
            self.queue.appendleft(api.CertificateArrived(found[1]))
            self.queue.appendleft(self._arrived(found[0]))
        self.queue.appendleft(self._started(None))
