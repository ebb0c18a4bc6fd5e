"""Work in threads that must not be left behind: a database is not closed under a write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def run_to_end(work: Callable[[], Result]) -> Result:
    """Run `work` in a thread; a task that is cancelled meanwhile ends only when the work does."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
