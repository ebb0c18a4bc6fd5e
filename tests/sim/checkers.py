"""The checkers: each holds one promise after every event, and raises Violation if it is broken."""

from consensus.interface import Finalised, Output, Persist, ReportEvidence, SignProposal, SignVote
from consensus.messages import Evidence, SigningState, check_succession, covers
from tests.sim.world import Violation, World

MAX_VOTES_PER_VALIDATOR = 120
MAX_BLOCKS = 80


class Checkers:
    """All checkers of one simulation; counts how often each looked at something."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.looks: dict[str, int] = {}
        self._disk: dict[int, SigningState] = {}
        self._syncs: dict[tuple[int, int], int] = {}
        self._rounds: dict[tuple[int, int], int] = {}
        self._reported: set[tuple[int, Evidence]] = set()

    def _look(self, name: str) -> None:
        self.looks[name] = self.looks.get(name, 0) + 1

    def on_output(self, node: int, output: Output) -> None:
        """Check what an honest node's engine wants done, before it is done."""
        if isinstance(output, Persist):
            self.check_persist(node, output.state)
        elif isinstance(output, SignVote | SignProposal):
            self.check_signature(node, output)
        elif isinstance(output, Finalised):
            self.check_finalised(node, output)
        elif isinstance(output, ReportEvidence):
            self.check_evidence(node, output.evidence)

    def check_persist(self, node: int, state: SigningState) -> None:
        """The signing state only goes forward."""
        self._look("succession")
        findings = check_succession(self._disk.get(node), state)
        if findings:
            raise Violation(f"succession: node {node}: {findings}")
        if self._disk.get(node) != state:
            key = (node, state.height)
            self._syncs[key] = self._syncs.get(key, 0) + 1
            self._rounds.setdefault(key, 0)
            if self._disk.get(node) is None or self._disk[node].round != state.round:
                self._rounds[key] += 1
            self._rounds[key] = max(self._rounds[key], 1)
        self._disk[node] = state
        self._look("syncs")
        if self._syncs.get((node, state.height), 0) > 2 * self._rounds.get((node, state.height), 1):
            raise Violation(f"syncs: node {node} synced too often at height {state.height}")

    def syncs_per_height(self) -> list[int]:
        """How often each node synced its signing state at each height."""
        return list(self._syncs.values())

    def check_signature(self, node: int, output: SignVote | SignProposal) -> None:
        """What is signed is on disk first, and contradicts nothing signed before."""
        message = output.vote if isinstance(output, SignVote) else output.proposal
        self._look("persist before sign")
        state = self._disk.get(node)
        if state is None or not covers(state, message):
            raise Violation(f"persist before sign: node {node} signs {message} over {state}")
        self._look("no double sign")
        if len(self.world.note_signed(message)) > 1:
            raise Violation(f"no double sign: node {node} signs {message} and something else")

    def check_finalised(self, node: int, output: Finalised) -> None:
        """Agreement, validity, certificates that prove it, heights that only rise."""
        world = self.world
        self._look("agreement")
        if world.final.setdefault(output.height, output.block_id) != output.block_id:
            other = world.final[output.height]
            raise Violation(f"agreement: {output.height}: {output.block_id!r} and {other!r}")
        self._look("validity")
        block = world.blocks.get(output.block_id)
        parent = world.final.get(output.height - 1, b"genesis")
        if block is None or not block.valid or block.parent != parent:
            raise Violation(f"validity: node {node} finalises {block}")
        self._look("heights")
        if output.height != world.heights.get(node, 0) + 1:
            raise Violation(
                f"heights: node {node} finalises {output.height} after {world.heights.get(node, 0)}"
            )
        world.heights[node] = output.height
        self._look("certificates")
        certificate = output.certificate
        if certificate is None or certificate.block_id != output.block_id:
            raise Violation(f"certificates: none for {output.block_id!r}")
        signers = {
            index
            for index, signature in certificate.signatures
            if signature == b"s%d" % index
            and world.precommitted(
                index, certificate.height, certificate.round, certificate.block_id
            )
        }
        voters = world.validators_at(output.height)
        weight = sum(voters.power_of(index) for index in sorted(signers))
        if not weight * 3 > voters.total_power * 2:
            raise Violation(f"certificates: node {node} has only {sorted(signers)}")

    def check_evidence(self, node: int, evidence: Evidence) -> None:
        """Only who contradicted himself is accused, and once."""
        self._look("evidence")
        first, second = evidence.first, evidence.second
        if first.validator_index not in self.world.dishonest:
            raise Violation(f"evidence: node {node} accuses an honest validator: {evidence}")
        if first == second or first.validator_index != second.validator_index:
            raise Violation(f"evidence: proves nothing: {evidence}")
        if (node, evidence) in self._reported:
            raise Violation(f"evidence: node {node} reports twice: {evidence}")
        self._reported.add((node, evidence))

    def check_memory(self, node: int, votes: int, blocks: int) -> None:
        """What an engine keeps is bounded, whatever it is sent."""
        self._look("memory")
        if votes > MAX_VOTES_PER_VALIDATOR * len(self.world.validators) or blocks > MAX_BLOCKS:
            raise Violation(f"memory: node {node} keeps {votes} votes and {blocks} blocks")

    def check_start(self, node: int, height: int) -> None:
        """Final heights never fall, also across restarts."""
        self._look("heights")
        self._reported = {entry for entry in self._reported if entry[0] != node}
        if height != self.world.heights.get(node, 0) + 1:
            raise Violation(
                f"heights: node {node} starts at {height}, "
                f"its final height was {self.world.heights.get(node, 0)}"
            )
