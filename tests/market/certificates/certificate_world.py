"""A world with meters, one day market and certificates of 1 kWh, credited hour by hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from market.certificates.module import CertificatesModule
from market.certificates.records import (
    LOT_SPACE,
    Coins,
    Lot,
    Plant,
    decode_leaf,
    read_coins,
    read_lots_of,
    read_plant,
)
from tests.market.day.day_world import METERS, QUARTER, TERMS, DayWorld
from tests.market.support import kwh
from vm.module import Module

HOUR = 4 * QUARTER
DAY = 24 * HOUR
SECTION: dict[str, Any] = {
    "unit_kwh": 1,
    "period_intervals": 4,
    "validity_days": 3,
    "coins": {"market": "local", "earned": "1", "lost": "0.5"},
    "plants": [
        {"plant": "roof", "member": "A", "technology": "solar", "capacity_w": 8_000},
        {"plant": "mill", "member": "B", "owner": "E", "technology": "wind", "capacity_w": 40_000},
    ],
}


class CertificateWorld(DayWorld):
    """Members A to E with meters; A has a roof, B a mill whose certificates are E's."""

    def __init__(self, section: Mapping[str, Any] = SECTION, **settings: Any) -> None:
        self.section = section
        super().__init__(TERMS, **{"meters": METERS, **settings})
        self.first = self.time_ms // QUARTER

    def more_modules(self) -> list[tuple[Module, Mapping[str, Any]]]:
        return [(CertificatesModule(), self.section)]

    def do(self, caller: str, name: str, *arguments: Any) -> Any:
        return self.call(caller, name, *arguments, module="certificates")

    def denied(self, caller: str, name: str, *arguments: Any) -> str:
        return self.code(caller, name, *arguments, module="certificates")

    def flow(self, name: str, place: int, *energies: tuple[str, str]) -> None:
        """Have a meter tell what flowed in intervals from the `place`-th on; nothing before it."""
        self.go(max(self.time_ms, (self.first + place + len(energies)) * QUARTER))
        held = self.registers[name]
        before = self.first + place - self.read_until[name]
        registers = [tuple(held)] * before
        for injected, withdrawn in energies:
            held[0] += kwh(injected)
            held[1] += kwh(withdrawn)
            registers.append(tuple(held))
        for start in range(0, len(registers), 96):
            part = tuple(registers[start : start + 96])
            first = self.read_until[name] + start
            self.call("M" + name, "submit", first, part, module="meters")
        self.read_until[name] += len(registers)

    def hours(self, count: int) -> None:
        """Go to where so many hours from the beginning are credited, half a minute later."""
        begun = self.first // 4 * 4 * QUARTER
        self.go(begun + count * HOUR + METERS["deadline_minutes"] * 60_000 + 30_000)

    def final(self, count: int) -> None:
        """Go to where so many hours from the beginning are final, half a minute later."""
        minutes = METERS["deadline_minutes"] + METERS["correction_minutes"]
        self.go(self.first // 4 * 4 * QUARTER + count * HOUR + minutes * 60_000 + 30_000)

    def plant(self, number: int) -> Plant:
        found = read_plant(self.overlay, number)
        assert found is not None
        return found

    def lots(self, owner: str) -> list[Lot]:
        self.commit()
        return list(read_lots_of(self.overlay, self.ids[owner]))

    def all_lots(self) -> list[Lot]:
        self.commit()
        return [
            decode_leaf(Lot, value)
            for key, value in self.state.values.items()
            if key[:2] == LOT_SPACE
        ]

    def coins(self, name: str) -> Coins:
        found = read_coins(self.overlay, self.ids[name])
        assert found is not None
        return found

    def said(self, name: str) -> list[tuple[Any, ...]]:
        return [
            values
            for module, event, values in self.events
            if (module, event) == ("certificates", name)
        ]
