"""A conversation joins several engines by a perfect wire and writes down all they say."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from consensus import interface as api
from consensus.messages import NIL, Message, Proposal, SigningState, Status, Vote
from consensus.poa import PoaEngine
from tests.consensus.bench import CONFIG, FOUR, T0

Drop = Callable[[int, int, Message], bool]


class Conversation:
    """Four validators at height 4, whose round r is proposed by validator r mod 4."""

    def __init__(self, *, without: tuple[int, ...] = ()) -> None:
        self.lines: list[str] = []
        self.queue: deque[tuple[int, api.Input]] = deque()
        self.timers: dict[tuple[int, api.Timer], int] = {}
        self.disk: dict[int, SigningState] = {}
        self.drop: Drop = lambda source, target, message: False
        self.engines: dict[int, PoaEngine] = {}
        for index in range(4):
            if index not in without:
                self.start(index)

    def start(self, index: int) -> None:
        """Start or restart a validator on what it persisted."""
        self.engines[index] = PoaEngine(CONFIG, b"v%d" % index)
        resume = self.disk.get(index)
        self.tell(index, api.Started(4, FOUR, b"parent", T0, T0 + 1_000, resume))

    def note(self, text: str) -> None:
        """Write a heading."""
        self.lines.append(f"# {text}")

    def tell(self, index: int, event: api.Input) -> None:
        """Queue an input."""
        self.queue.append((index, event))

    def settle(self) -> None:
        """Deliver everything that is under way."""
        while self.queue:
            index, event = self.queue.popleft()
            if index in self.engines:
                self.lines.append(f"{index} < {render(event)}")
                for output in self.engines[index].handle(event):
                    self.lines.append(f"{index}   > {render(output)}")
                    self._execute(index, output)

    def fire(self, timer: api.Timer) -> None:
        """Let a timer run out at every validator that set it."""
        for (index, which), round_ in sorted(self.timers.items()):
            if which is timer:
                self.tell(index, api.TimeoutFired(4, round_, timer))
                del self.timers[(index, which)]
        self.settle()

    def _execute(self, index: int, output: api.Output) -> None:
        match output:
            case api.Persist(state):
                self.disk[index] = state
            case api.SignVote(vote):
                self.tell(index, api.VoteArrived(replace(vote, signature=b"s%d" % index)))
            case api.SignProposal(proposal):
                signed = replace(proposal, signature=b"s%d" % index)
                self.tell(index, api.ProposalArrived(signed, T0 + 1_000))
            case api.Broadcast(message):
                for target in self.engines:
                    if target != index and not self.drop(index, target, message):
                        self._deliver(target, message)
            case api.BuildBlock(height, round_):
                name = f"h{height}r{round_}n{index}".encode()
                self.tell(index, api.BlockBuilt(height, round_, name, T0 + 900))
            case api.CheckBlock(block_id):
                self.tell(index, api.BlockChecked(block_id, True))
            case api.ScheduleTimeout(_, round_, timer, _):
                self.timers[(index, timer)] = round_
            case _:
                pass

    def _deliver(self, target: int, message: Message) -> None:
        if isinstance(message, Proposal):
            block = api.BlockArrived(message.block_id, b"parent", 4, T0 + 900, T0 + 1_000)
            self.tell(target, block)
            self.tell(target, api.ProposalArrived(message, T0 + 1_000))
        elif isinstance(message, Vote):
            self.tell(target, api.VoteArrived(message))


def render(thing: api.Input | api.Output) -> str:
    """Return one short line for an input or output."""
    name = type(thing).__name__
    match thing:
        case api.ProposalArrived(p, _) | api.SignProposal(p) | api.Broadcast(Proposal() as p):
            return f"{name} round {p.round} {p.block_id.decode()} pol {p.pol_round}"
        case api.VoteArrived(v) | api.SignVote(v) | api.Broadcast(Vote() as v):
            block = v.block_id.decode() if v.block_id != NIL else "nil"
            return f"{name} {v.kind.name.lower()} of {v.validator_index} round {v.round} {block}"
        case api.Broadcast(Status() as s):
            return f"{name} status {s.height}/{s.round} {s.prevotes:04b} {s.precommits:04b}"
        case api.Persist(s):
            return (
                f"{name} {s.height}/{s.round}/{s.step.name} locked {s.locked_round} "
                f"{s.locked_block.decode() or '-'} valid {s.valid_round} "
                f"{s.valid_block.decode() or '-'} proof {[i for i, _ in s.valid_proof]}"
            )
        case api.ScheduleTimeout(height, round_, timer, delay):
            return f"{name} {height}/{round_} {timer.name} {delay} ms"
        case api.TimeoutFired(height, round_, timer):
            return f"{name} {height}/{round_} {timer.name}"
        case api.Finalised(height, block_id, certificate):
            signers = [i for i, _ in certificate.signatures] if certificate else None
            return f"{name} {height} {block_id.decode()} by {signers}"
        case api.Started(height, _, _, _, _, resume):
            return f"{name} {height} resume {resume.step.name if resume else 'nothing'}"
        case api.ReportEvidence(evidence):
            return f"{name} {evidence.kind.name} of {evidence.first.validator_index}"
        case api.BlockArrived(block_id) | api.BlockChecked(block_id) | api.CheckBlock(block_id):
            return f"{name} {block_id.decode()}"
        case _:
            return str(thing).replace(str(T0), "T0")
