"""The equations of one step in a meshed problem with storages, hours eliminated one by one.

Each hour is a small dense matrix of its variables, its balance, and the lines that are nearly full.
What is left are the steps of the storages' levels, one for each storage and hour, with the levels.
"""

from __future__ import annotations

import numpy as np

from dispatch.arrays import Floats
from dispatch.mesh_storage_arrays import MeshStorageArrays
from dispatch.storage_arrays import Flags


class MeshNewton:
    """The equations, factorised once and solved for several right sides.

    `stiffness`, (t, w), is what bounds add to the curvature of each variable and flow; what is not
    `free` does not move. `regular` is taken from the diagonal of the balances and of the levels'
    steps, where these alone might be singular. Raises LinAlgError where they are.
    """

    def __init__(
        self, arrays: MeshStorageArrays, free: Flags, stiffness: Floats, regular: float = 0.0
    ) -> None:
        self._arrays = arrays
        base = arrays.base
        columns, given = base.lower.shape[1], base.ends[3]
        self._moves = free[:, :given].astype(np.float64)
        self._line = stiffness[:, columns:]
        # A stiff line added to the curvature of the variables would cost these their digits.
        self._tight = np.flatnonzero((self._line > 1.0).any(axis=0))
        self._line_scale = np.sqrt(np.minimum(self._line[:, self._tight], 1.0))
        curvature = base.quadratic[:, :given] + stiffness[:, :given]
        self._inverse = np.linalg.inv(
            self._hours_matrix(np.where(free[:, :given], curvature, 1.0), regular)
        )
        # How a variable moves a level's step, and how hours answer to what levels are worth.
        storages = len(base.start)
        self._steps = np.zeros((len(free), storages, given))
        _, lines, taken, _, _ = base.ends
        number = np.arange(storages)
        self._steps[:, number, lines + number] = -base.stored
        self._steps[:, number, taken + number] = base.drawn
        self._steps *= self._moves[:, None, :]
        self._answers = self._inverse[:, :, :given] @ self._steps.transpose(0, 2, 1)
        level_free = free[:, given:columns]
        level = np.where(level_free, stiffness[:, given:columns], 1.0)
        # Levels that are nearly free are soft, those at a bound stiff: all are brought near one.
        self._scale = np.where(level_free, 1.0 / np.sqrt(np.maximum(level, 1.0)), 0.0)
        self._soft = np.where(level_free, np.minimum(level, 1.0), 1.0)
        self._chain = np.linalg.inv(self._chain_matrix(regular))

    def _hours_matrix(self, curvature: Floats, regular: float) -> Floats:
        """Return (t, k, k): of each hour its variables, its balance, its tight lines."""
        hours, given = curvature.shape
        response = self._arrays.response[:, :given]
        soft = self._line.copy()
        soft[:, self._tight] = 0.0
        size = given + 1 + len(self._tight)
        matrix: Floats = np.zeros((hours, size, size))
        inner = (response.T[None, :, :] * soft[:, None, :]) @ response
        matrix[:, :given, :given] = inner * self._moves[:, :, None] * self._moves[:, None, :]
        places = np.arange(given)
        matrix[:, places, places] += curvature
        injection = self._arrays.injection[:given] * self._moves
        matrix[:, :given, given] = -injection
        matrix[:, given, :given] = injection
        # An hour in which nothing can move has no price of its own.
        matrix[:, given, given] = regular + np.where(self._moves.any(axis=1), 0.0, 1.0)
        tight = response[None, self._tight] * self._moves[:, None, :]
        tight = tight * self._line_scale[:, :, None]
        matrix[:, :given, given + 1 :] = tight.transpose(0, 2, 1)
        matrix[:, given + 1 :, :given] = -tight
        places = np.arange(given + 1, size)
        matrix[:, places, places] = 1.0 / np.maximum(self._line[:, self._tight], 1.0)
        return matrix

    def _chain_matrix(self, regular: float) -> Floats:
        """Return the equations of the levels' steps, then of the levels.

        Levels stay in them: where they are free, dividing by their stiffness would lose all digits.
        """
        hours, storages = self._scale.shape
        size = hours * storages
        worth: Floats = np.zeros((hours, storages, hours, storages))
        moved: Floats = np.zeros((hours, storages, hours, storages))
        every = np.arange(hours)
        worth[every, :, every, :] = self._steps @ self._answers[:, : self._steps.shape[2]]
        for number in range(storages):
            moved[every, number, every, number] = self._scale[:, number]
            moved[every[1:], number, every[:-1], number] = -self._scale[:-1, number]
        matrix: Floats = np.zeros((2 * size, 2 * size))
        matrix[:size, :size] = worth.reshape(size, size) + regular * np.eye(size)
        matrix[:size, size:] = moved.reshape(size, size)
        matrix[size:, :size] = -matrix[:size, size:].T
        matrix[size:, size:] = np.diag(self._soft.ravel())
        # A step in which nothing can move says nothing.
        empty = np.flatnonzero(~matrix[:size].any(axis=1))
        matrix[empty, empty] = 1.0
        return matrix

    def move(
        self, force: Floats, balance: Floats, flow: Floats, level: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Return how variables with flows, balances' prices, congestion and values move.

        `force`, (t, w), is what pulls at each variable, the others what the equations miss.
        """
        arrays, tight = self._arrays, self._tight
        columns = arrays.base.lower.shape[1]
        given = self._steps.shape[2]
        response = arrays.response[:, :given]
        on_line, on_level = force[:, columns:], force[:, given:columns]
        tension = self._line * flow - on_line
        tension[:, tight] = 0.0
        pull = (force[:, :given] - tension @ response) * self._moves
        stiff = np.where(self._line_scale > 0, self._line_scale, 1.0)
        held = self._line_scale * flow[:, tight] - on_line[:, tight] / stiff / np.maximum(
            self._line[:, tight], 1.0
        )
        right = np.concatenate([pull, -balance[:, None], held], axis=1)
        alone = np.einsum("tvw,tw->tv", self._inverse, right)
        missing = -level - np.einsum("tsv,tv->ts", self._steps, alone[:, :given])
        chain = self._chain @ np.concatenate([missing.ravel(), (self._scale * on_level).ravel()])
        value, levels = chain.reshape(2, *level.shape)
        found = alone + np.einsum("tvs,ts->tv", self._answers, value)
        x = found[:, :given]
        lines = x @ response.T + flow
        congestion = self._line * lines - on_line
        congestion[:, tight] = self._line_scale * found[:, given + 1 :]
        return np.hstack([x, levels * self._scale, lines]), found[:, given], congestion, value
