"""The light node that a board runs: a process of its own, asked over the machine's loopback."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from node.config import LIGHT, ConfigError, load_config

STOP_S = 5.0


def light_url(config_path: Path) -> str:
    """Return where the light node of a configuration answers; raises ConfigError."""
    config = load_config(config_path)
    if config.mode != LIGHT:
        raise ConfigError("the node that a board runs is a light one", actual=config.mode)
    return f"http://{config.api.host}:{config.api.port}"


class LightProcess:
    """A light node beside the board, started and stopped with it."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, config_path: Path) -> None:
        """Start the node; its log goes where the board's goes."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tools.cli", "node", "run", "--config", str(config_path)),
            stdin=asyncio.subprocess.DEVNULL,
        )

    async def stop(self) -> None:
        """Stop the node if it was started."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
