"""A network of several nodes on this machine: made from a template, started, watched, stopped.

DIR/genesis.json    the template, completed with the keys made for it
DIR/testnet.json    which nodes there are and where they listen
DIR/home/           a wallet with the unencrypted key of every member, pinned to the network
DIR/NAME/           one folder per validator: node.toml, keys/, data/, node.log, node.pid
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.genesis_file import load_genesis
from node.keyfile import generate_seed, save_plain_key
from node.p2p.peers import PeerAddress
from tools.engine_choice import choose_engine
from tools.errors import Json, NodeTimeout, ToolError
from tools.node_folder import (
    CONFIG_FILE,
    NodeIdentity,
    NodeSettings,
    choose_ports,
    create_keys,
    port_is_free,
    write_config,
)
from tools.processes import (
    ProcessMark,
    is_running,
    load_mark,
    send_signal,
    start_process,
    stop_processes,
    wait_ended,
)
from tools.session import Network, save_network
from tools.wallet import KEY_FOLDER, SUFFIX
from vm.primitives.address import check_name
from vm.primitives.errors import InvalidGenesis
from vm.primitives.signatures import public_key

GENESIS_FILE: Final = "genesis.json"
RECORD_FILE: Final = "testnet.json"
HOME_FOLDER: Final = "home"
LOG_FILE: Final = "node.log"
PID_FILE: Final = "node.pid"
HOST: Final = "127.0.0.1"
EVERY_ADDRESS: Final = "0.0.0.0"
API_PORT: Final = 8645
P2P_PORT: Final = 8646
MAX_VALIDATORS: Final = 64
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0
NODE_COMMAND: Sequence[str] = (sys.executable, "-m", "tools.cli", "node", "run", "--config")
OPERATOR_NAME: Final = "operator"
FIRST_STAKE: Final = "100"
"""Stake of each validator of a network with the engine pos, where the template names none."""

Progress = Callable[[str], None]
"""Told what is being done, for people."""


@dataclass(frozen=True, slots=True)
class LocalNode:
    """One node of a local network."""

    name: str
    """The member's name, and its folder's."""
    folder: Path
    """Where it keeps everything."""
    api_port: int
    """Where its HTTP API listens."""
    p2p_port: int
    """Where its peers connect."""
    genesis: bytes
    """Identity of its network, 32 bytes."""

    @property
    def api_url(self) -> str:
        """Address of its HTTP API."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def mark(self) -> ProcessMark | None:
        """The process that was last started for it, running or not."""
        return load_mark(self.folder / PID_FILE)

    @property
    def running(self) -> bool:
        """Whether that process runs."""
        return is_running(self.mark)


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """A network on this machine."""

    folder: Path
    """Where all of it is."""
    genesis: bytes
    """The network's identity, 32 bytes."""
    nodes: tuple[LocalNode, ...]
    """Its nodes, all validators."""

    @property
    def home(self) -> Path:
        """The wallet of all members, for `--home`."""
        return self.folder / HOME_FOLDER

    def node(self, name: str) -> LocalNode:
        """Return the node called `name`; raises ToolError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise ToolError(
            f"no node is called {name}",
            code="unknown_node",
            expected=", ".join(node.name for node in self.nodes),
        )


def create_network(
    folder: Path,
    template: Json,
    *,
    validators: int = 4,
    engine: str | None = None,
    hosts: Mapping[str, tuple[str, int]] | None = None,
) -> LocalNetwork:
    """Make the folder of a network of `validators` nodes from a genesis template.

    Members of the template without a key get one; its validators are completed to the number
    asked for (or cut down to it), and an operator is added where there is none. With `hosts` (host
    and port for peers, by validator) each node is for a machine of its own, and nothing is noted
    that would have them started here. Raises ToolError or InvalidGenesis; the folder must be new or
    empty.
    """
    if not 1 <= validators <= MAX_VALIDATORS:
        raise ToolError(
            "too few or too many validators",
            expected=f"1 to {MAX_VALIDATORS}",
            actual=validators,
            code="usage",
        )
    if folder.exists() and any(folder.iterdir()):
        raise ToolError(
            f"{folder} is not empty",
            code="file_exists",
            hint="Choose another with --dir, or remove it: its network and its keys go with it.",
        )
    document = dict(template)
    members = _completed_members(document.get("members"), validators)
    if hosts is not None:
        _validate_hosts(hosts, members)
    if engine is not None:
        choose_engine(document, engine)
    _complete_stakes(document, members)
    if not document.get("time_ms"):
        document["time_ms"] = time.time_ns() // 1_000_000
    try:
        return _write_network(folder, document, members, hosts)
    except BaseException as error:
        if isinstance(error, InvalidGenesis):
            error.hint = error.hint or "genesis/README.md explains what a template may say."
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write_network(
    folder: Path,
    document: dict[str, object],
    members: list[dict[str, object]],
    hosts: Mapping[str, tuple[str, int]] | None,
) -> LocalNetwork:
    """Make keys for `members`, complete the genesis with them, and write all files."""
    count = 0 if hosts else 2 * sum("validator" in _roles(member) for member in members)
    ports = choose_ports(count)
    places: list[tuple[str, int, int]] = []
    identities: list[NodeIdentity] = []
    (folder / HOME_FOLDER / KEY_FOLDER).mkdir(mode=0o700, parents=True)
    for member in members:
        name = str(member["name"])
        if not member.get("key"):
            seed = generate_seed()
            key_path = folder / HOME_FOLDER / KEY_FOLDER / (name + SUFFIX)
            save_plain_key(key_path, seed, purpose="account")
            member["key"] = public_key(seed).hex()
        if "validator" in _roles(member):
            api, p2p = (API_PORT, hosts[name][1]) if hosts else (ports.pop(), ports.pop())
            identity = create_keys(folder / name, votes=True)
            member["node_key"] = identity.node_key.hex()
            member["node_proof"] = identity.node_proof.hex()
            member["vote_key"] = identity.vote_key.hex()
            places.append((name, api, p2p))
            identities.append(identity)
    document["members"] = members
    text = json.dumps(document, indent=1, ensure_ascii=True) + "\n"
    (folder / GENESIS_FILE).write_text(text, encoding="ascii")
    # As a node would: what no node of this version can start with is refused here.
    digest = load_genesis(folder / GENESIS_FILE, folder / places[0][0]).digest
    network = _local_network(folder, digest, places)
    _write_configs(network.nodes, identities, hosts)
    save_network(network.home, Network(digest, network.nodes[0].api_url))
    if hosts is None:
        _save_record(network)
    return network


def _local_network(
    folder: Path, genesis: bytes, places: Sequence[tuple[str, int, int]]
) -> LocalNetwork:
    """Return the network of nodes by their names and ports, for the API and for peers."""
    nodes = (LocalNode(name, folder / name, api, p2p, genesis) for name, api, p2p in places)
    return LocalNetwork(folder, genesis, tuple(nodes))


def load_network_folder(folder: Path) -> LocalNetwork:
    """Return the network in `folder`; raises ToolError where there is none."""
    path = folder / RECORD_FILE
    try:
        found = json.loads(path.read_text(encoding="ascii"))
        genesis = bytes.fromhex(found["genesis"])
        places = [
            (str(node["name"]), int(node["api_port"]), int(node["p2p_port"]))
            for node in found["nodes"]
        ]
    except FileNotFoundError as error:
        raise ToolError(
            f"there is no local network in {folder}",
            code="no_testnet",
            hint=f"Make one: bitenergy testnet init --dir {folder}.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolError(
            f"cannot read {path}",
            actual=error,
            hint="Make the network anew in another folder.",
        ) from error
    return _local_network(folder, genesis, places)


def start_nodes(
    nodes: Sequence[LocalNode],
    *,
    timeout_s: float = START_TIMEOUT_S,
    progress: Progress | None = None,
) -> None:
    """Start those of `nodes` that do not run, and wait until each answers on its API.

    Raises ToolError with the end of its log where one ends early, with code `port_taken` where
    another program has one of its ports, NodeTimeout where one does not answer in time; the others
    go on running.
    """
    stopped = [node for node in nodes if not node.running]
    for node in stopped:
        _validate_ports(node)
    for node in stopped:
        _start(node)
    deadline = time.monotonic() + timeout_s
    for node in nodes:
        _await_answer(node, deadline, timeout_s)
        if progress is not None:
            progress(f"{node.name} answers at {node.api_url}")


def stop_nodes(
    nodes: Sequence[LocalNode], *, timeout_s: float = STOP_TIMEOUT_S
) -> tuple[list[LocalNode], list[LocalNode]]:
    """Stop the running ones of `nodes`; return those that stopped and those that were killed."""
    running = {node.mark: node for node in nodes if node.running}
    marks = [mark for mark in running if mark is not None]
    stubborn = stop_processes(marks, timeout_s)
    for node in nodes:
        if not node.running:
            (node.folder / PID_FILE).unlink(missing_ok=True)
    killed = [running[mark] for mark in stubborn]
    return [node for mark, node in running.items() if mark not in stubborn], killed


def kill_node(node: LocalNode) -> bool:
    """End a node as a power cut would (SIGKILL), and wait; False if it was not running."""
    mark = node.mark
    if mark is None or not send_signal(mark, signal.SIGKILL):
        return False
    wait_ended([mark], 5.0)
    return True


def node_status(node: LocalNode, *, timeout_s: float = 2.0) -> Json | None:
    """Return what the node says of itself, None if it does not answer in time."""
    from tools.client import NodeClient
    from tools.errors import ClientError

    client = NodeClient(node.api_url, timeout_s=timeout_s)
    try:
        return client.status()
    except ClientError:
        return None
    finally:
        client.close()


def log_tail(node: LocalNode, lines: int) -> list[str]:
    """Return the last `lines` lines of the node's log."""
    path = node.folder / LOG_FILE
    if not path.exists():
        return []
    with path.open("rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(0, size - 512 * max(lines, 1) - 4096))
        text = handle.read().decode("utf-8", "replace")
    return text.splitlines()[-lines:] if lines else []


def _completed_members(found: object, validators: int) -> list[dict[str, object]]:
    """Return the template's members with exactly `validators` of them validating."""
    if found is None:
        found = []
    if not isinstance(found, list) or not all(isinstance(member, dict) for member in found):
        raise ToolError("the template's 'members' are no list of objects", code="invalid_genesis")
    members: list[dict[str, object]] = []
    count = 0
    for member in found:
        if "validator" in _roles(member):
            count += 1
            if count > validators:
                continue
        members.append(dict(member))
    taken = {member.get("name") for member in members}
    fresh = (f"V{number}" for number in range(1, 2 * MAX_VALIDATORS + len(members)))
    for name in fresh:
        if count >= validators:
            break
        if name not in taken:
            members.append({"name": name, "roles": ["validator"]})
            count += 1
    if not any("operator" in _roles(member) for member in members):
        members.append({"name": OPERATOR_NAME, "roles": ["operator"]})
    for member in members:
        _validate_file_name(member.get("name"))
    names = [member["name"] for member in members]
    if len(set(names)) != len(names):
        raise ToolError("two members of the template have one name", code="invalid_genesis")
    return members


def _validate_file_name(name: object) -> None:
    """Refuse a member's name that cannot be that of a folder beside our own files."""
    if not isinstance(name, str) or not check_name(name) or name[:1] in ("", ".", "-"):
        raise ToolError(
            "a member of the template has no usable name",
            code="invalid_genesis",
            expected="1 to 32 letters, digits, dots, underscores or hyphens",
            actual=name,
        )
    if name in (HOME_FOLDER, GENESIS_FILE, RECORD_FILE):
        raise ToolError(f"a member cannot be called {name} here", code="invalid_genesis")


def _roles(member: Json) -> list[object]:
    roles = member.get("roles")
    return roles if isinstance(roles, list) else []


def _complete_stakes(document: dict[str, object], members: Sequence[Json]) -> None:
    """Give each validator of a network with the engine pos a stake, unless the template does.

    The stakes come beside the members' balances, and blocks bring no rewards: so the same trades
    end with the same figures under every engine.
    """
    engine, modules = document.get("engine"), document.get("modules", {})
    if not isinstance(engine, dict) or engine.get("name") != "pos" or not isinstance(modules, dict):
        return
    section = modules.get("staking", {})
    if isinstance(section, dict) and not section.get("stakes"):
        names = [str(member["name"]) for member in members if "validator" in _roles(member)]
        stakes = dict.fromkeys(names, FIRST_STAKE)
        document["modules"] = {
            **modules,
            "staking": {"token": "money", **section, "stakes": stakes},
        }


def parse_host(text: str) -> tuple[str, tuple[str, int]]:
    """Return validator, host and port of `NAME=HOST` or `NAME=HOST:PORT`; raises ToolError."""
    name, equals, where = text.partition("=")
    has_port = where.rpartition(":")[2].isdecimal() and (where.count(":") == 1 or "]:" in where)
    host, port = where.rsplit(":", 1) if has_port else (where, str(P2P_PORT))
    host = host.removeprefix("[").removesuffix("]")
    if not name or not equals or not host or not 0 < int(port) < 65_536:
        raise ToolError(
            "not the machine of a validator",
            code="usage",
            expected="NAME=HOST or NAME=HOST:PORT, for example V1=192.168.1.11",
            actual=text,
        )
    return name, (host, int(port))


def _validate_hosts(
    hosts: Mapping[str, tuple[str, int]], members: Sequence[dict[str, object]]
) -> None:
    names = [str(member["name"]) for member in members if "validator" in _roles(member)]
    if sorted(hosts) != sorted(names):
        raise ToolError(
            "each validator needs a machine, and nobody else",
            code="usage",
            expected=", ".join(names),
            actual=", ".join(hosts),
            hint="Give --host once for each of them, or for none.",
        )


def _write_configs(
    nodes: Sequence[LocalNode],
    identities: Sequence[NodeIdentity],
    hosts: Mapping[str, tuple[str, int]] | None,
) -> None:
    addresses = [
        PeerAddress(identity.node_key, hosts[node.name][0] if hosts else HOST, node.p2p_port)
        for node, identity in zip(nodes, identities, strict=True)
    ]
    listens = EVERY_ADDRESS if hosts else HOST
    for place, node in enumerate(nodes):
        write_config(
            node.folder,
            NodeSettings(
                name=node.name,
                genesis=f"../{GENESIS_FILE}",
                p2p_listen=f"{listens}:{node.p2p_port}",
                api_listen=f"{HOST}:{node.api_port}",
                votes=True,
                peers=tuple(addresses[:place] + addresses[place + 1 :]),
            ),
        )


def _save_record(network: LocalNetwork) -> None:
    nodes = [
        {"name": node.name, "api_port": node.api_port, "p2p_port": node.p2p_port}
        for node in network.nodes
    ]
    record = {"genesis": network.genesis.hex(), "nodes": nodes}
    (network.folder / RECORD_FILE).write_text(json.dumps(record, indent=1) + "\n", "ascii")


def _validate_ports(node: LocalNode) -> None:
    for port in (node.api_port, node.p2p_port):
        if not port_is_free(port):
            raise _port_taken(node, port)


def _port_taken(node: LocalNode, port: int) -> ToolError:
    return ToolError(
        f"another program listens on port {port}, which {node.name} needs",
        code="port_taken",
        hint=f"End that program (ss -ltnp 'sport = {port}' names it), "
        f"or change the port in {node.folder / CONFIG_FILE} and {RECORD_FILE}.",
    )


def _start(node: LocalNode) -> None:
    """Start the process of `bitenergy node run`, found whether or not we are installed."""
    root = str(Path(__file__).resolve().parent.parent)
    known = os.environ.get("PYTHONPATH")
    start_process(
        [*NODE_COMMAND, str((node.folder / CONFIG_FILE).resolve())],
        log=(node.folder / LOG_FILE).resolve(),
        pid_file=node.folder / PID_FILE,
        environment=os.environ | {"PYTHONPATH": f"{root}:{known}" if known else root},
    )


def _await_answer(node: LocalNode, deadline: float, timeout_s: float) -> None:
    while (said := node_status(node)) is None:
        if not node.running:
            _validate_ports(node)
            tail = "\n  ".join(log_tail(node, 8)) or "(it is empty)"
            raise ToolError(
                f"{node.name} ended while starting; the end of its log:\n  {tail}",
                code="cannot_start",
                hint=f"The whole log is {node.folder / LOG_FILE}.",
            )
        if time.monotonic() >= deadline:
            raise NodeTimeout(
                f"{node.name} runs but did not answer at {node.api_url} within {timeout_s:g} s",
                hint=f"See {node.folder / LOG_FILE}.",
            )
        time.sleep(0.05)
    if said.get("genesis") != node.genesis.hex():
        raise _port_taken(node, node.api_port)
