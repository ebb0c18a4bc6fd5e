"""Boards' steps on a mesh, held against their twin of matrices."""

from __future__ import annotations

import numpy as np
import pytest

from dispatch.mesh_bus import MeshBus, MeshView, mesh_views_of
from dispatch.mesh_bus_plain import step_mesh_plain
from market.dispatch_layout import lay_out
from tests.dispatch.test_meshed import case_of


def step(views: dict[str, MeshView], buses: dict[str, MeshBus]) -> bool:
    """One round of messages; tell whether all buses are calm."""
    told = {
        (name, end.line): words
        for name, view in views.items()
        for end, words in zip(view.ends, buses[name].tell(), strict=True)
    }
    calm = [
        buses[name].hear([told[end.neighbour, end.line] for end in view.ends])
        for name, view in views.items()
    ]
    return all(calm)


@pytest.mark.parametrize("name", ["case5", "case9", "case30"])
def test_buses_step_as_matrices_do(name: str) -> None:
    problem = case_of(name)
    views = mesh_views_of(problem)
    buses = {bus: MeshBus(view) for bus, view in views.items()}
    rounds = 12
    for _ in range(rounds):
        step(views, buses)
    wanted, _ = step_mesh_plain(lay_out(problem), rounds)
    flows = {
        line: row[0] for bus in buses.values() for line, row in bus.part().flows_milli_w.items()
    }
    found = np.array([flows[line.name] / 1_000 for line in problem.network.lines])
    # What travels are whole nanowatts, and what is read out whole milliwatts.
    assert found == pytest.approx(wanted, rel=1e-9, abs=0.01)
