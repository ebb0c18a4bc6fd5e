"""Which protocol boards follow in a round, by the shape of its network."""

from __future__ import annotations

from market.dispatch_problem import DispatchProblem
from tools.board.mesh_protocol import MeshRound
from tools.board.participant import Participant, Patience
from tools.board.protocol import BoardRound


def can_take_part(problem: DispatchProblem, bus: str) -> bool:
    """Tell whether a board at `bus` can take part in a round with this problem."""
    return any(each.name == bus for each in problem.network.buses)


def begin_round(
    number: int,
    problem: DispatchProblem,
    bus: str,
    now_ms: int,
    patience: Patience | None = None,
) -> Participant:
    """Begin a sound round for the board at `bus`, which can take part in it."""
    shape = BoardRound if problem.is_radial else MeshRound
    return shape(number, problem, bus, now_ms, patience)
