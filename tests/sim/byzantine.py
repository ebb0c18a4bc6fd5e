"""A two-faced validator: tells every peer something else, in its own valid signature."""

from collections.abc import Callable

from consensus.messages import (
    NIL,
    NO_ROUND,
    CommitCertificate,
    Message,
    Proposal,
    Status,
    Vote,
    VoteKind,
)
from tests.sim.node import Host, Packet
from tests.sim.world import GENESIS, Block, World

STRANGER = 99


class TwoFaced:
    """Knows the whole world, and reacts to each height and round it hears of."""

    def __init__(self, index: int, host: Host, world: World, *, peers: int) -> None:
        self.index = index
        self.host = host
        self.world = world
        self.peers = peers
        self.alive = True
        self._faced: set[tuple[int, int]] = set()
        self._blocks: dict[tuple[int, int], list[Block]] = {}
        self._heard: dict[int, list[bytes]] = {}
        self.style = host.below(3)
        """0: votes for anything; 1: backs each proposal before some; 2: before its proposer."""

    def receive(self, source: int, packet: Packet) -> None:
        """React to the first message of each height and round."""
        if packet.fetch is not None and self.host.below(2):
            block = self.world.blocks.get(packet.fetch)
            if block is not None:
                self.host.send(self.index, source, Packet(block=block))
        message = packet.message
        if message is None or isinstance(message, Status | CommitCertificate):
            return
        self._hear(message)
        if (message.height, message.round) not in self._faced and len(self._faced) < 4_000:
            self._faced.add((message.height, message.round))
            self._act(message.height, message.round)
        elif self.style > 0 and isinstance(message, Proposal):
            self._back(message, message.validator_index)
        elif isinstance(message, Proposal) or self.host.below(6) == 0:
            self._vote(message.height, message.round)

    def _hear(self, message: Proposal | Vote) -> None:
        if message.block_id != NIL:
            heard = self._heard.setdefault(message.height, [])
            if message.block_id not in heard:
                heard.append(message.block_id)
        for height in [h for h in self._heard if h < message.height - 2]:
            del self._heard[height]

    def _act(self, height: int, round_: int) -> None:
        self._propose(height, round_)
        if self.style > 0:
            return
        self._vote(height, round_)
        if self.host.below(8) == 0:  # from far ahead, and from a height nobody reached
            self._tell(lambda _: self._a_vote(height, round_ + 1 + self.host.below(10**6), NIL))
            self._tell(lambda _: self._a_vote(height + self.host.below(10**6), 0, NIL))
        if self.host.below(8) == 0:
            signers = ((self.index, b"s"),) * 9
            forged = (
                CommitCertificate(height, round_, b"forged", signers),
                CommitCertificate(0, -1, b"", ((STRANGER, b"s"),)),
            )[self.host.below(2)]
            self._tell(lambda _: forged)
        if self.host.below(8) == 0:
            self._act_as_stranger(height, round_)
        if self.host.below(8) == 0:
            self._run_ahead(height, round_)

    def _act_as_stranger(self, height: int, round_: int) -> None:
        """Speak as a validator that there is none of."""
        vote = Vote(VoteKind.PREVOTE, height, round_, NIL, STRANGER, b"s%d" % STRANGER)
        signature = b"s%d" % STRANGER
        proposal = Proposal(height, round_, b"nothing", NO_ROUND, STRANGER, signature)
        self._tell(lambda _: vote if self.host.below(2) else proposal)

    def _run_ahead(self, height: int, round_: int) -> None:
        """Propose in its later rounds, vote back from them, and fill the next height."""
        for ahead in range(1, 40):
            if self.world.proposer(height, round_ + ahead) == self.index:
                name = f"h{height}a{ahead}x{self.index}".encode()
                proposal = Proposal(
                    height, round_ + ahead, name, NO_ROUND, self.index, b"s%d" % self.index
                )
                self._tell(lambda _, proposal=proposal: proposal)
        for ahead in (6, 3, 1):
            vote = self._a_vote(height, round_ + ahead, NIL)
            self._tell(lambda _, vote=vote: vote)
        target = self.host.below(self.peers)
        for number in range(12):
            name = f"h{height + 1}n{number}x{self.index}".encode()
            block = Block(name, b"h%d" % height, height + 1, GENESIS.time_ms + 1)
            if target != self.index:
                self.host.send(self.index, target, Packet(block=block))

    def _propose(self, height: int, round_: int) -> None:
        tip = self.world.blocks.get(self.world.final.get(height - 1, b"genesis"), GENESIS)
        if tip.height + 1 != height or self.world.proposer(height, round_) != self.index:
            return
        if self.host.below(4) == 0:
            return  # silent
        pair = []
        for face in range(2):
            name = f"h{height}r{round_}x{self.index}.{face}".encode()
            late = 10**6 if self.host.below(12) == 0 else 100
            block = Block(name, tip.id, height, tip.time_ms + late, self.host.below(4) > 0)
            self.world.blocks.setdefault(name, block)
            pair.append(self.world.blocks[name])
            self._heard.setdefault(height, []).append(name)
        pol_round = NO_ROUND if round_ == 0 or self.host.below(2) else round_ - 1
        targets = [target for target in range(self.peers) if target != self.index]
        for target in targets:
            block = pair[self.host.below(2) if self.style < 2 else target != targets[0]]
            proposal = Proposal(
                height, round_, block.id, pol_round, self.index, b"s%d" % self.index
            )
            body = block if self.host.below(5) else None
            self.host.send(self.index, target, Packet(message=proposal, block=body))
            if self.style == 2 and target == targets[-1]:
                self._back(proposal, victim=target)

    def _vote(self, height: int, round_: int) -> None:
        choices = [*self._heard.get(height, []), NIL]

        def face(_target: int) -> Message:
            return self._a_vote(height, round_, choices[self.host.below(len(choices))])

        self._tell(face)

    def _back(self, proposal: Proposal, victim: int) -> None:
        """Help a proposal, but only before some: locks one node here, another one there."""
        height, round_, index = proposal.height, proposal.round, self.index
        for kind in VoteKind:
            vote = Vote(kind, height, round_, proposal.block_id, index, b"s%d" % index)
            self.world.note_signed(vote)
            nil = Vote(kind, height, round_, NIL, index, b"s%d" % index)
            self.world.note_signed(nil)
            for target in range(self.peers):
                if target != index:
                    favoured = self.host.below(5) < 2
                    if self.style == 2:
                        favoured = target == victim and kind is VoteKind.PREVOTE
                    face = vote if favoured else nil
                    self.host.send(index, target, Packet(message=face))

    def _a_vote(self, height: int, round_: int, block_id: bytes) -> Vote:
        kind = VoteKind(1 + self.host.below(2))
        vote = Vote(kind, height, round_, block_id, self.index, b"s%d" % self.index)
        self.world.note_signed(vote)
        return vote

    def _tell(self, face: Callable[[int], Message]) -> None:
        for target in range(self.peers):
            if target != self.index:
                self.host.send(self.index, target, Packet(message=face(target)))
