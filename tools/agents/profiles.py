"""Profiles of a day: what households draw and what photovoltaic plants give, by quarter of an hour.

Two sources: a small set of our own making (`genesis/profiles/homes.json`, a summer and a winter
day), and the year 2016 of the public package `simbench` (Meinecke et al., "SimBench, a benchmark
dataset of electric power systems", Energies 13(12), 2020), where that is installed or its data
folder is named.
"""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Final

from tools.agents.profile_formula import SEASONS, SLOTS
from tools.errors import ToolError

SIMBENCH_FOLDER: Final = "networks/1-complete_data-mixed-all-0-sw"
SIMBENCH_LOADS: Final = ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L")
"""Its households; they are given as shares of a greatest load."""
SIMBENCH_PLANTS: Final = tuple([f"PV{number}" for number in range(1, 9)])
SIMBENCH_LOAD_W: Final = 3_000
"""The greatest load that most of its low-voltage households have."""
SIMBENCH_YEAR: Final = 2016
PLANT_W: Final = 1_000


@dataclass(frozen=True, slots=True)
class ProfileSet:
    """The profiles of one day. A day has 96 values, on the two odd days of the year 92 or 100."""

    loads_w: Mapping[str, tuple[int, ...]]
    """Average power that a household draws, W, by its kind."""
    plants_w_per_kwp: Mapping[str, tuple[int, ...]]
    """Average power that one kWp of a plant gives, W, by its kind."""

    @property
    def slots(self) -> int:
        """Values of the day."""
        return len(next(iter(self.loads_w.values())))


def load_profiles(name: str) -> ProfileSet:
    """Return the profiles called `summer`, `winter` or, of simbench, by a date: `2016-06-21`.

    Raises ToolError.
    """
    if name in SEASONS:
        return _load_own(name)
    try:
        day = date.fromisoformat(name)
    except ValueError as error:
        raise ToolError(
            "no such profile",
            code="unknown_profile",
            expected=f"{', '.join(SEASONS)}, or a date of {SIMBENCH_YEAR}, which needs simbench",
            actual=name,
        ) from error
    return read_simbench(day)


def read_simbench(day: date, folder: Path | None = None) -> ProfileSet:
    """Return one day of simbench's households and plants; raises ToolError.

    `folder` holds LoadProfile.csv and RESProfile.csv; without it the installed package does. The
    package itself is not imported.
    """
    folder = folder or _simbench_folder()
    loads = _read_columns(
        folder / "LoadProfile.csv", day, {f"{name}_pload": name for name in SIMBENCH_LOADS}
    )
    plants = _read_columns(folder / "RESProfile.csv", day, {name: name for name in SIMBENCH_PLANTS})
    return ProfileSet(
        {name: _scaled(shares, SIMBENCH_LOAD_W) for name, shares in loads.items()},
        {name: _scaled(shares, PLANT_W) for name, shares in plants.items()},
    )


def _load_own(season: str) -> ProfileSet:
    text = files("genesis").joinpath("profiles/homes.json").read_text(encoding="ascii")
    found = json.loads(text)
    loads, plants = found["loads_w"][season], found["plants_w_per_kwp"][season]
    profiles = ProfileSet(
        {name: tuple(values) for name, values in loads.items()},
        {name: tuple(values) for name, values in plants.items()},
    )
    if profiles.slots != SLOTS:
        raise ToolError("genesis/profiles/homes.json is not a day", expected=SLOTS)
    return profiles


def _simbench_folder() -> Path:
    found = importlib.util.find_spec("simbench")
    if found is None or found.origin is None:
        raise ToolError(
            "the profiles of simbench are not here",
            code="no_simbench",
            hint="Choose summer or winter, or install some 400 MB: pip install '.[profiles]'.",
        )
    return Path(found.origin).parent / SIMBENCH_FOLDER


def _read_columns(path: Path, day: date, columns: Mapping[str, str]) -> dict[str, list[float]]:
    """Return the columns of one day, under the names given; lines of other days are passed over."""
    start = day.strftime("%d.%m.%Y ")
    found: dict[str, list[float]] = {name: [] for name in columns.values()}
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle, delimiter=";"):
                if row["time"].startswith(start):
                    for column, name in columns.items():
                        found[name].append(float(row[column]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ToolError(
            f"cannot read the profiles in {path}", code="invalid_file", actual=error
        ) from error
    if not all(found.values()):
        raise ToolError(
            f"{path.name} has no such day",
            code="unknown_profile",
            expected=f"a date of {SIMBENCH_YEAR}",
            actual=day.isoformat(),
        )
    return found


def _scaled(shares: list[float], peak_w: int) -> tuple[int, ...]:
    return tuple([max(0, round(share * peak_w)) for share in shares])
