"""The garden: where planted faults take the place of functions, and are taken away again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.sim.nodes.scenario import Scenario


class Garden:
    """Puts functions in the place of others, and takes them away again."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def put(self, place: Any, name: str, value: Any) -> None:
        """Replace what `place` has under `name`."""
        self._before.append((place, name, getattr(place, name)))
        setattr(place, name, value)

    def clear(self) -> None:
        """Restore everything."""
        while self._before:
            setattr(*self._before.pop())


Plant = Callable[[Garden], None]


@dataclass(frozen=True, slots=True)
class Canary:
    """A planted fault."""

    plant: Plant
    caught_by: tuple[str, ...]
    """The promises that it may break."""
    seeds: tuple[int, ...] = ()
    """Seeds known to show it; the search goes on with others if they no longer do."""
    engine: str = "poa"
    """The engine of the networks in which it is planted."""
    needs: Callable[[Scenario], bool] = lambda scenario: True
    """Networks in which it can be seen at all."""
