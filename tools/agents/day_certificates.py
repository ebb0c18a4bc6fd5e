"""The certificates of a market day: what each plant was issued, beside what its meter allows.

What a plant carries is its member's reading and is told to nobody. So what was issued is held
against bounds: no more than what the connection injected, and no less than that without what
buyers had of it by contract, short of one unit that may still be carried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from market.meters.records import MILLI_WH_PER_WATT_MINUTE
from tools.agents.day_template import CERTIFICATE_MILLI_WH
from tools.agents.homes import SLOT_MINUTES
from tools.agents.trader import Trader
from tools.client import NodeClient, integer_field, list_field, text_field

PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class PlantFigures:
    """What a plant was issued on a day."""

    name: str
    """The plant; named as its home is."""
    issued: int
    """Certificates that it was issued."""
    least: int
    """The least that it can have been issued for what its meter read."""
    most: int
    """The most."""


def plant_figures(client: NodeClient, traders: Sequence[Trader]) -> tuple[PlantFigures, ...]:
    """Return the figures of each home's plant, as a node tells what was issued."""
    issued = _issued(client)
    return tuple(
        [
            _figures(trader, issued.get(trader.home.name, 0))
            for trader in traders
            if any(trader.home.plant_w)
        ]
    )


def _issued(client: NodeClient) -> dict[str, int]:
    """Return the certificates that each plant was issued, by its name."""
    found: dict[str, int] = {}
    after = 0
    while True:
        answer = client.get("/certificates/plants", limit=PAGE, after=after)
        for plant in list_field(answer, "plants"):
            found[text_field(plant, "plant")] = integer_field(plant, "issued")
        if answer.get("next") is None:
            return found
        after = integer_field(answer, "next")


def _figures(trader: Trader, issued: int) -> PlantFigures:
    energy, minutes = MILLI_WH_PER_WATT_MINUTE
    slot_minutes = trader.terms.slots * SLOT_MINUTES
    capacity = max(trader.home.plant_w) * slot_minutes * energy // minutes
    credited = sold = 0
    for played in trader.played.values():
        if played.flow is None:
            continue
        produced = min(played.flow.injected_milli_wh, capacity)
        credited += produced
        sold += min(produced, max(0, played.sold_milli_wh - played.bought_milli_wh))
    return PlantFigures(
        trader.home.name,
        issued,
        max(0, (credited - sold) // CERTIFICATE_MILLI_WH),
        credited // CERTIFICATE_MILLI_WH,
    )
