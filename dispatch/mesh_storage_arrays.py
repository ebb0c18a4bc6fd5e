"""A meshed problem with storages as one quadratic programme in floats, hours beside each other.

The variables of an hour are those of `storage_arrays` without lines: powers of units, what storages
take, give, and hold. Flows follow from injections by power transfer distribution factors, f = S A x
with A the injections of the variables, so that the voltage law holds by itself. Rated lines alone
have a row. With one balance for the network and its price p, and κ what the limit of a line costs,
the price of each bus is p − Sᵀκ.

Shapes: t hours, n buses, m rated lines, s storages, v variables of an hour; all numbers are parts
of `base.scale`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatch.arrays import Floats, Integers, radial_arrays
from dispatch.storage_arrays import StorageArrays, parted_arrays
from market.dispatch_layout import DispatchLayout


@dataclass(frozen=True, slots=True)
class MeshStorageArrays:
    """The programme: that of each bus by itself, and what binds them."""

    base: StorageArrays
    """Variables, bounds, costs and levels; each bus is a zone."""
    factor: Floats
    """(l, n) flow of each line of the network for each unit injected at a bus, taken out at the
    slack bus."""
    rated: Integers
    """(m,) numbers of the rated lines."""
    limit: Floats
    """(m,) their ratings."""
    response: Floats
    """(m, v) flow of each rated line for each unit of a variable; 0 for levels."""
    injection: Floats
    """(v,) what a variable injects into the network: 1, -1 or 0."""

    def prices(self, balance_price: Floats, congestion: Floats) -> Floats:
        """Return (t, n) prices from the (t,) balances' and (t, m) congestion."""
        prices: Floats = balance_price[:, None] - congestion @ self.factor[self.rated]
        return prices


def mesh_storage_arrays(layout: DispatchLayout) -> MeshStorageArrays:
    """Return the programme of a sound meshed problem with storages."""
    base = parted_arrays(layout, radial_arrays(layout))
    factor = transfer_factors(layout)
    lines = layout.problem.network.lines
    rated = [number for number, line in enumerate(lines) if line.rating_w is not None]
    units, _, taken, given, levels = base.ends
    injection = np.ones(levels)
    injection[units:taken], injection[given:] = -1.0, 0.0
    storages = base.storage_zone
    bus = np.concatenate([base.unit_zone, storages, storages, storages])
    chosen = np.array(rated, dtype=np.int64)
    return MeshStorageArrays(
        base=base,
        factor=factor,
        rated=chosen,
        limit=np.array([float(layout.lines[line].rating_w) for line in rated]) / base.scale.power_w,
        response=factor[np.ix_(chosen, bus)] * injection,
        injection=injection,
    )


def transfer_factors(layout: DispatchLayout) -> Floats:
    """Return (l, n) the flow of each line for each unit injected, taken out at the slack bus."""
    reactance = np.array([float(line.reactance_nano_ohm) for line in layout.lines])
    weight = np.median(reactance) / reactance
    incidence = np.zeros((len(layout.lines), len(layout.places)))
    for place, line in enumerate(layout.lines):
        incidence[place, line.start], incidence[place, line.end] = 1.0, -1.0
    keep = np.arange(len(layout.places)) != layout.root
    flows = (weight[:, None] * incidence)[:, keep]
    matrix = incidence[:, keep].T @ flows
    factor: Floats = np.zeros(incidence.shape)
    factor[:, keep] = np.linalg.solve(matrix, flows.T).T
    return factor
