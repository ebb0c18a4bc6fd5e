"""The engine of a local network: what a template needs to run with another one than its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LOCAL_PARAMETERS: Final[Mapping[str, Mapping[str, int]]] = {
    "pow": {"target_interval_ms": 500, "finality_depth": 5, "initial_difficulty": 32_768},
}
"""Parameters of engines that suit nodes on one machine, where messages take no time."""
MINER_REWARD: Final = "1"
"""What a block of such a network brings its miner under proof of work, tokens."""


def choose_engine(document: dict[str, object], name: str) -> None:
    """Have the genesis `document` run with the engine `name`; parameters that it has for it stay.

    Under proof of work miners get a reward, unless the document states one.
    """
    found = document.get("engine")
    if not isinstance(found, dict) or found.get("name") != name:
        document["engine"] = {"name": name, "parameters": dict(LOCAL_PARAMETERS.get(name, {}))}
    modules = document.get("modules", {})
    if name == "pow" and isinstance(modules, dict):
        document["modules"] = {"reward": {"block": MINER_REWARD}, **modules}
