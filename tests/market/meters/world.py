"""Meters in a small world: two homes with a meter each, a spare one, and a DSO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from market.meters.module import MetersModule
from market.meters.readings import Measured, is_closed, read_intervals
from market.meters.records import MetersConfig, load_terms, read_connection
from tests.market.support import ROLES, Person, World
from vm.module import Module
from vm.primitives.codec import Encodable

QUARTER_MS = 900_000
SECTION: dict[str, Any] = {
    "deadline_minutes": 30,
    "correction_minutes": 120,
    "retention_days": 2,
    "mean_days": 2,
    "max_power_w": 40_000,
    "meters": [{"meter": "M1", "member": "H1"}, {"meter": "M2", "member": "H2"}],
}
"""Quarters of an hour; readings are due after two, and correct for another eight."""
PEOPLE = (
    Person("DSO", roles=("dso",)),
    Person("H1"),
    Person("H2"),
    Person("M1", roles=("meter",)),
    Person("M2", roles=("meter",)),
    Person("M3", roles=("meter",)),
)


class Metered(World):
    """A world whose clock begins at the start of its first interval."""

    def __init__(
        self,
        *,
        people: tuple[Person, ...] = PEOPLE,
        section: dict[str, Any] | None = None,
        extra: tuple[tuple[Module, dict[str, Any]], ...] = (),
    ) -> None:
        own = SECTION if section is None else section
        super().__init__(people, {"markets": []}, extra=[(MetersModule(ROLES), own), *extra])
        self.at_closing: dict[int, tuple[int, int]] = {}
        self.config: MetersConfig = load_terms(self.context())
        self.first = self.config.interval_of(self.time_ms)

    def ask(self, caller: str, name: str, *arguments: Any) -> Any:
        return self.call(caller, name, *arguments, module="meters")

    def refused(self, caller: str, name: str, *arguments: Any) -> str:
        return self.code(caller, name, *arguments, module="meters")

    def submit(self, meter: str, place: int, *registers: tuple[int, int]) -> Any:
        """Submit registers from the interval `place` after the first on."""
        return self.ask(meter, "submit", self.first + place, registers)

    def _tell(self, events: Sequence[tuple[str, str, tuple[Encodable, ...]]]) -> None:
        super()._tell(events)
        for _, name, values in events:
            if name == "closed" and isinstance(values[0], int):
                found = self.energies("H1", values[0] - self.first)[0]
                energy = found.injected_milli_wh, found.withdrawn_milli_wh
                self.at_closing[values[0]] = energy

    def until_end_of(self, place: int, *, later_ms: int = 0) -> None:
        """Go to the end of an interval."""
        self.advance(self.config.end_ms(self.first + place) + later_ms - self.time_ms)

    def until_deadline_of(self, place: int) -> None:
        self.advance(self.config.deadline_ms(self.first + place) - self.time_ms)

    def until_final(self, place: int) -> None:
        self.advance(self.config.correction_ms(self.first + place) - self.time_ms)

    def energies(self, member: str, place: int, count: int = 1) -> list[Measured]:
        ctx = self.context()
        found = read_intervals(ctx, self.config, self.ids[member], self.first + place, count)
        return found

    def injected(self, member: str, place: int, count: int = 1) -> list[int]:
        return [each.injected_milli_wh for each in self.energies(member, place, count)]

    def is_closed(self, place: int) -> bool:
        return is_closed(self.context(), self.first + place)

    def true_up(self, member: str) -> tuple[int, int]:
        found = read_connection(self.overlay, self.ids[member])
        assert found is not None
        return found.true_up_injected_milli_wh, found.true_up_withdrawn_milli_wh

    def told(self, name: str) -> list[tuple[Any, ...]]:
        return [
            values for module, event, values in self.events if (module, event) == ("meters", name)
        ]
