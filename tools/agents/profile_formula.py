"""The formula of the profiles in `genesis/profiles/homes.json`, which it prints when it is run.

A load is a base, and bumps of Gaussian shape at the hours at which people of its kind are at home
and cook; in winter light comes earlier and heating is added. A plant of one kWp gives what the sun
at 50 degrees north sends on its surface on 21 June or 21 December (solar declination and hour
angle), less what clouds keep back: a share that swings over the day. All of it is made here, of
no measured data.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Final

SLOTS: Final = 96
SLOTS_PER_HOUR: Final = 4
SEASONS: Final = ("summer", "winter")
LATITUDE_DEGREES: Final = 50.0
DECLINATION_DEGREES: Final = {"summer": 23.44, "winter": -23.44}
DIRECT: Final = 0.85
"""Part of the light of a clear sky that comes straight from the sun; the rest is the sky's."""
CLEAR_W_PER_M2: Final = 1_000.0
PLANT_EFFICIENCY: Final = 0.85
"""What inverter, heat and dirt leave of a plant's rated power."""
CLOUDS: Final = {"summer": (0.18, 0.12), "winter": (0.45, 0.25)}
"""Share that clouds keep back on average, and how far it swings."""
PLANTS: Final = {
    "south": ((180.0, 35.0),),
    "east_west": ((90.0, 20.0), (270.0, 20.0)),
    "south_west": ((225.0, 30.0),),
    "balcony": ((180.0, 90.0),),
}
"""Azimuth (degrees from north) and tilt (degrees) of the surfaces that share a plant's power."""
LOADS: Final = {
    "single": (70.0, ((7.0, 0.7, 260.0), (18.5, 1.3, 330.0), (21.5, 1.5, 210.0))),
    "couple": (110.0, ((7.0, 0.9, 420.0), (12.5, 0.9, 150.0), (19.0, 1.5, 640.0))),
    "family": (
        160.0,
        ((6.8, 0.9, 720.0), (12.8, 1.1, 520.0), (16.5, 1.6, 300.0), (19.2, 1.5, 1_050.0)),
    ),
    "retired": (120.0, ((8.5, 1.4, 380.0), (12.2, 0.9, 760.0), (18.0, 1.6, 420.0))),
    "home_office": (150.0, ((8.0, 1.2, 350.0), (12.0, 3.2, 330.0), (19.5, 1.6, 560.0))),
    "night_worker": (90.0, ((4.5, 1.2, 340.0), (15.0, 1.2, 410.0), (22.5, 1.6, 300.0))),
}
"""Base in watts, and bumps: hour, width in hours, height in watts."""
LIGHT_W: Final = 130.0
"""Light of a winter evening, 17 to 22 o'clock, that the summer does not need."""
HEATING_W: Final = 90.0
"""Circulation pumps and fans of a winter day."""


def make_document() -> dict[str, object]:
    """Return what the file holds: average power of each quarter of an hour, whole watts."""
    return {
        "about": "Average power by quarter of an hour from midnight, local time: loads in W, "
        "photovoltaic plants in W for each kWp. Made by tools/agents/profile_formula.py; "
        "nothing of it was measured.",
        "loads_w": {season: {name: load_w(season, name) for name in LOADS} for season in SEASONS},
        "plants_w_per_kwp": {
            season: {name: plant_w(season, name) for name in PLANTS} for season in SEASONS
        },
    }


def load_w(season: str, name: str) -> list[int]:
    """Return the load of a household of some kind, W by quarter of an hour."""
    base, bumps = LOADS[name]
    winter = season == "winter"
    values: list[int] = []
    for slot in range(SLOTS):
        hour = (slot + 0.5) / SLOTS_PER_HOUR
        power = base + sum(height * _bump(hour, at, width) for at, width, height in bumps)
        if winter:
            power += HEATING_W + LIGHT_W * _bump(hour, 19.5, 2.0)
        values.append(round(power))
    return values


def plant_w(season: str, name: str) -> list[int]:
    """Return what one kWp of a plant gives, W by quarter of an hour."""
    surfaces = PLANTS[name]
    kept, swing = CLOUDS[season]
    values: list[int] = []
    for slot in range(SLOTS):
        hour = (slot + 0.5) / SLOTS_PER_HOUR
        light = sum(_light(season, hour, surface) for surface in surfaces) / len(surfaces)
        clouds = kept + swing * math.sin(hour * 2.9) * math.cos(hour * 1.3)
        values.append(round(CLEAR_W_PER_M2 * PLANT_EFFICIENCY * light * (1.0 - clouds)))
    return values


def _bump(hour: float, at: float, width: float) -> float:
    distance = (hour - at + 12.0) % 24.0 - 12.0
    return math.exp(-0.5 * (distance / width) ** 2)


def _light(season: str, hour: float, surface: Sequence[float]) -> float:
    """Return the light on a surface over that on one that faces the sun through no air."""
    azimuth, tilt = (math.radians(angle) for angle in surface)
    latitude = math.radians(LATITUDE_DEGREES)
    declination = math.radians(DECLINATION_DEGREES[season])
    turn = math.radians(15.0 * (hour - 12.0))
    sine = math.sin(latitude) * math.sin(declination)
    sine += math.cos(latitude) * math.cos(declination) * math.cos(turn)
    if sine <= 0.0:
        return 0.0
    height = math.asin(sine)
    # Towards south and west from the meridian; the sun's azimuth from north.
    south = math.sin(latitude) * math.cos(declination) * math.cos(turn)
    south -= math.cos(latitude) * math.sin(declination)
    west = math.cos(declination) * math.sin(turn)
    sun = math.pi + math.atan2(west, south)
    straight = math.cos(height) * math.sin(tilt) * math.cos(sun - azimuth)
    straight += sine * math.cos(tilt)
    # 0.7 to the power of the air mass to the 0.678: Meinel and Meinel, Applied Solar Energy, 1976.
    through_air = 0.7 ** ((1.0 / max(sine, 0.02)) ** 0.678)
    sky = (1.0 - DIRECT) * sine * (1.0 + math.cos(tilt)) / 2.0
    return DIRECT / 0.7 * through_air * max(0.0, straight) + sky


def main() -> None:
    """Write the document to standard output."""
    lines = json.dumps(make_document(), ensure_ascii=True)
    sys.stdout.write(lines.replace('"about"', '\n"about"').replace("], ", "],\n") + "\n")


if __name__ == "__main__":
    main()
