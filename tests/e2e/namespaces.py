"""Nodes in network namespaces of their own, joined by a bridge whose links tests set down and up.

A hub namespace holds two bridges. Each node has one end of a pair of virtual devices, the hub the
other: on the first bridge the node is with the others, on the second with those that were parted
off. A second pair leads from each node to the test, so that its API answers whatever becomes of
the network. All of it goes with the namespaces.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.nodes import Nodes, local_network
from tools.testnet import LocalNode

# Addresses of RFC 2544, which no machine's own network uses.
PEERS = "198.19.0"
CONTROL = "198.18"
_numbers = itertools.count()


@dataclasses.dataclass(frozen=True, slots=True)
class FarNode(LocalNode):
    """A node in a namespace."""

    number: int
    """Its number, from 1."""

    @property
    def api_url(self) -> str:
        """Address of its HTTP API, as the test reaches it."""
        return f"http://{CONTROL}.{self.number}.2:{self.api_port}"

    @property
    def address(self) -> str:
        """Where its peers find it."""
        return f"{PEERS}.{self.number}"


def ip(*words: str, inside: str = "") -> None:
    """Run iproute2, in a namespace or here."""
    place = ("-n", inside) if inside else ()
    done = subprocess.run(
        ["ip", *place, *words], capture_output=True, text=True, check=False, timeout=20
    )
    assert not done.returncode, f"ip {' '.join((*place, *words))}: {done.stderr.strip()}"


class Wires:
    """The namespaces of a network's nodes."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self.nodes = nodes
        self._folder = folder
        self._prefix = f"be{os.getpid() % 100_000}x{next(_numbers)}"
        self._made: list[str] = []
        self._deaf: set[tuple[str, str]] = set()
        far = tuple(
            FarNode(node.name, node.folder, node.api_port, node.p2p_port, node.genesis, number)
            for number, node in enumerate(nodes.network.nodes, 1)
        )
        nodes.network = dataclasses.replace(nodes.network, nodes=far)
        self._far = {node.name: node for node in far}

    def make(self) -> None:
        """Make all namespaces, devices and addresses, and have the nodes use them."""
        self._add_namespace("hub")
        for bridge in ("near", "far"):
            ip("link", "add", "name", bridge, "type", "bridge", inside=self._name("hub"))
            ip("link", "set", "dev", bridge, "up", inside=self._name("hub"))
        for node in self._far.values():
            self._wire(node)
            self._configure(node)

    def remove(self) -> None:
        """Remove all of it."""
        for name in self._made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def start(self) -> None:
        """Start every node in its namespace and wait until all see one another."""
        for name in self.nodes.names:
            self.spawn(name)
        for name in self.nodes.names:
            self.nodes.await_answer(name)
        for name in self.nodes.names:
            self.nodes.until_peers(name, len(self.nodes.names) - 1)

    def spawn(self, name: str) -> None:
        """Start a node's process in its namespace."""
        script = self._folder / f"{name}.sh"
        script.write_text(f'#!/bin/sh\nexec ip netns exec {self._name(name)} {sys.executable} "$@"')
        script.chmod(0o755)
        self.nodes.spawn(name, program=script)

    # What can go wrong

    def part(self, names: Iterable[str]) -> None:
        """Put nodes on the other bridge: nothing passes to the rest, and nobody is told."""
        apart = set(names)
        for name, node in self._far.items():
            bridge = "far" if name in apart else "near"
            ip("link", "set", "dev", f"p{node.number}", "master", bridge, inside=self._name("hub"))

    def set_link(self, name: str, state: str) -> None:
        """Set a node's link `down` or `up`."""
        ip("link", "set", "dev", "peers", state, inside=self._name(name))

    def deafen(self, name: str, sources: Iterable[str]) -> None:
        """Have a node drop what arrives from others; what it sends arrives."""
        for source in sources:
            self._deaf.add((name, source))
            words = ("pref", "10", "from", self._far[source].address, "blackhole")
            ip("rule", "add", *words, inside=self._name(name))

    def heal(self) -> None:
        """Let everything pass again."""
        for name, source in self._deaf:
            words = ("pref", "10", "from", self._far[source].address, "blackhole")
            ip("rule", "del", *words, inside=self._name(name))
        self._deaf.clear()
        self.part(())
        for name in self._far:
            self.set_link(name, "up")

    # Inside

    def _name(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _add_namespace(self, name: str) -> None:
        self._made.append(self._name(name))
        ip("netns", "add", self._name(name))
        ip("link", "set", "dev", "lo", "up", inside=self._name(name))

    def _wire(self, node: FarNode) -> None:
        hub, own = self._name("hub"), self._name(node.name)
        self._add_namespace(node.name)
        port, control = f"p{node.number}", f"{self._prefix}c{node.number}"
        peer = ("peer", "name", "peers", "netns", own)
        ip("link", "add", "name", port, "type", "veth", *peer, inside=hub)
        ip("link", "set", "dev", port, "master", "near", inside=hub)
        ip("link", "set", "dev", port, "up", inside=hub)
        ip("addr", "add", f"{node.address}/24", "dev", "peers", inside=own)
        ip("link", "set", "dev", "peers", "up", inside=own)
        ip("link", "add", "name", control, "type", "veth", "peer", "name", "control", "netns", own)
        ip("addr", "add", f"{CONTROL}.{node.number}.1/30", "dev", control)
        ip("link", "set", "dev", control, "up")
        ip("addr", "add", f"{CONTROL}.{node.number}.2/30", "dev", "control", inside=own)
        ip("link", "set", "dev", "control", "up", inside=own)
        # Rules about who sends come before the one that takes in what is addressed to us.
        ip("rule", "add", "pref", "100", "lookup", "local", inside=own)
        ip("rule", "del", "pref", "0", inside=own)

    def _configure(self, node: FarNode) -> None:
        config = node.folder / "node.toml"
        text = config.read_text()
        for other in self._far.values():
            text = text.replace(f"127.0.0.1:{other.p2p_port}", f"{other.address}:{other.p2p_port}")
        api = f"{CONTROL}.{node.number}.2:{node.api_port}"
        config.write_text(text.replace(f"127.0.0.1:{node.api_port}", api))


@contextmanager
def wired_network(
    folder: Path, template: Mapping[str, object], free_port: Callable[[], int], validators: int = 4
) -> Iterator[Wires]:
    """Make a network of nodes in namespaces that do not run yet; nothing of it stays."""
    with local_network(folder, template, free_port, validators=validators) as nodes:
        wires = Wires(nodes, folder)
        try:
            wires.make()
            yield wires
        finally:
            nodes.kill_all()
            wires.remove()
