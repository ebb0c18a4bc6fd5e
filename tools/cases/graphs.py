"""Graphs along which agents without a grid exchange messages, and their shallowest trees."""

from __future__ import annotations

import random
from collections.abc import Sequence

from vm.primitives.errors import InvalidInput

Link = tuple[str, str]
"""A pair of agents that exchange messages."""


def ring(names: Sequence[str]) -> tuple[Link, ...]:
    """Return a ring in the order of `names`."""
    return tuple((name, names[(place + 1) % len(names)]) for place, name in enumerate(names))


def random_links(names: Sequence[str], links: int, seed: int) -> tuple[Link, ...]:
    """Return a connected random graph: a random tree, and random further pairs up to `links`."""
    drawn = random.Random(seed)
    found = {(drawn.randrange(place), place) for place in range(1, len(names))}
    while len(found) < min(links, len(names) * (len(names) - 1) // 2):
        left, right = sorted(drawn.sample(range(len(names)), 2))
        found.add((left, right))
    return tuple((names[left], names[right]) for left, right in sorted(found))


def spanning_tree(names: Sequence[str], links: Sequence[Link]) -> tuple[str, tuple[Link, ...]]:
    """Return (root, links) of the breadth-first tree of least depth; of equals the first root.

    Each link leads away from the root. Raises InvalidInput if the links do not reach everybody.
    """
    neighbours: dict[str, list[str]] = {name: [] for name in names}
    for left, right in links:
        neighbours[left].append(right)
        neighbours[right].append(left)
    best: tuple[int, str, tuple[Link, ...]] | None = None
    for root in names:
        depth = {root: 0}
        tree = []
        reached = [root]
        for name in reached:
            for other in neighbours[name]:
                if other not in depth:
                    depth[other] = depth[name] + 1
                    tree.append((name, other))
                    reached.append(other)
        if len(reached) < len(names):
            missing = next(name for name in names if name not in depth)
            raise InvalidInput(
                f"no link leads from {root} to {missing}",
                code="invalid_case",
                hint="Connect all agents.",
            )
        if best is None or depth[reached[-1]] < best[0]:
            best = depth[reached[-1]], root, tuple(tree)
    if best is None:
        raise InvalidInput("there are no agents", code="invalid_case")
    return best[1], best[2]
