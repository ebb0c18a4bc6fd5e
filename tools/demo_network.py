"""A fresh local network for a demonstration: started, used through its API, compared, stopped."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tools.client import NodeClient, integer_field, list_field, object_field, text_field
from tools.errors import AnswerInvalid, Json, NodeTimeout, ToolError, TransactionRejected
from tools.output import note, waiting
from tools.session import Session
from tools.testnet import LocalNetwork, create_network, start_nodes, stop_nodes
from tools.wallet import DEFAULT_EXPIRY_BLOCKS, DEFAULT_GAS_LIMIT, TransactionTerms
from vm.primitives.address import encode_address
from vm.runtime import Call

VALIDATORS: Final = 4
START_ATTEMPTS: Final = 3
DEADLINE_S: Final = 60.0
POLL_S: Final = 0.05


class DemoNetwork:
    """A running network and what its first validator tells."""

    def __init__(self, network: LocalNetwork, session: Session) -> None:
        self.network = network
        self.session = session
        self._read_to = 0
        self._events: list[Json] = []

    def send(self, name: str, *calls: Call) -> Json:
        """Send calls as one transaction of the member `name`; return its receipt when final."""
        return self.send_all([(name, calls)])[0]

    def send_all(self, orders: Sequence[tuple[str, Sequence[Call]]]) -> list[Json]:
        """Send one transaction for each of different members at once; return the receipts.

        Raises a ClientError where one is refused or fails.
        """
        client = self.session.client()
        height = integer_field(client.status(), "height")
        raw: list[bytes] = []
        for name, calls in orders:
            signer = self.session.open_signer(name)
            terms = TransactionTerms(
                genesis=client.genesis_hash(),
                nonce=client.next_nonce(encode_address(signer.account)),
                expiry_height=height + DEFAULT_EXPIRY_BLOCKS,
                gas_limit=DEFAULT_GAS_LIMIT,
                max_fee_micro=0,
            )
            raw.append(signer.sign(calls, terms).raw)
        ids: list[str] = []
        for result in client.submit(raw):
            if result.get("accepted") is not True:
                raise TransactionRejected(
                    str(result.get("message", "the node refused the transaction")),
                    code=str(result.get("code", "rejected")),
                )
            ids.append(text_field(result, "id"))
        return [client.wait(each, timeout_s=DEADLINE_S).receipt for each in ids]

    def wait_for(self, module: str, event: str, **fields: object) -> Json:
        """Return the fields of the first event, of those that happen by themselves, that fits.

        Raises NodeTimeout.
        """
        client = self.session.client()
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for found in self._events:
                if _fits(found, module, event, fields):
                    return object_field(found, "fields")
            top = integer_field(client.status(), "final_height")
            if top == self._read_to:
                if time.monotonic() > deadline:
                    raise NodeTimeout(f"nothing told of {module}.{event}", expected=fields)
                time.sleep(POLL_S)
            else:
                self._events += read_events(client, self._read_to + 1, top)
                self._read_to = top

    def told(self, module: str, events: Sequence[str]) -> list[Json]:
        """Return the fields of these events as far as `wait_for` has read, in order."""
        return [
            object_field(found, "fields")
            for found in self._events
            if found.get("module") == module and found.get("event") in events
        ]


def start_network(make: Callable[[], LocalNetwork]) -> LocalNetwork:
    """Make a network and start it; anew where a node cannot start.

    Another program may have taken one of its ports meanwhile, and have left it since. Raises what
    making and starting raise at last; then nothing of it runs.
    """
    for attempt in range(1, START_ATTEMPTS + 1):
        network = make()
        try:
            start_nodes(network.nodes)
            break
        except BaseException as error:
            stop_nodes(network.nodes)
            if not isinstance(error, ToolError) or attempt == START_ATTEMPTS:
                raise
            shutil.rmtree(network.folder)
    return network


@contextmanager
def demo_network(template: Json, *, name: str, keep: bool, quiet: bool) -> Iterator[DemoNetwork]:
    """Start four validators of a genesis template and stop them again, unless they are to be kept.

    On an error they are stopped in any case. A network that is kept leaves its folder.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"bitenergy-{name}-"))
    done = False
    network: LocalNetwork | None = None
    try:
        with waiting("four validators start", quiet=quiet):
            network = start_network(lambda: create_network(folder / "network", template))
        session = Session(network.home, timeout_s=DEADLINE_S, as_json=True)
        try:
            yield DemoNetwork(network, session)
        finally:
            session.client().close()
        done = True
    finally:
        if network is not None and not (keep and done):
            stop_nodes(network.nodes)
        if keep and done and network is not None:
            note(f"The network stays up: {network.nodes[0].api_url}/api/v1/status")
            note(f"Stop it with: bitenergy testnet down --dir {network.folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def read_events(client: NodeClient, first: int, last: int) -> list[Json]:
    """Return what happened by itself in the final blocks `first` to `last`, in order."""
    found: list[Json] = []
    for height in range(first, last + 1):
        read, count = 0, 1
        while read < count:
            block = client.get(f"/blocks/{height}", from_system=read, limit=1)
            count = integer_field(block, "system_receipts_count")
            receipts = list_field(block, "system_receipts")
            if not receipts and read < count:
                raise AnswerInvalid("the node leaves out receipts of a block", actual=height)
            read += len(receipts)
            for receipt in receipts:
                found += list_field(receipt, "events")
    return found


def settled_validators(demo: DemoNetwork, names: Sequence[str]) -> list[dict[str, object]]:
    """Return what each validator says of one height once all have reached it.

    Name, height, state root, the money of each of `names` and all events that came by themselves.
    """
    nodes = demo.network.nodes
    clients = [NodeClient(node.api_url, genesis=demo.network.genesis) for node in nodes]
    try:
        height = max(integer_field(client.status(), "final_height") for client in clients)
        found: list[dict[str, object]] = []
        for node, client in zip(nodes, clients, strict=True):
            _wait_until(client, height)
            header = object_field(client.get(f"/blocks/{height}"), "header")
            found.append(
                {
                    "name": node.name,
                    "height": height,
                    "state_root": text_field(header, "state_root"),
                    "money_micro": {name: _money(client, name) for name in names},
                    "events": read_events(client, 1, height),
                }
            )
        return found
    finally:
        for client in clients:
            client.close()


def agree(validators: Sequence[Mapping[str, object]]) -> bool:
    """Tell whether all validators say the same."""
    first = {name: value for name, value in validators[0].items() if name != "name"}
    return len(validators) == VALIDATORS and all(
        {name: value for name, value in other.items() if name != "name"} == first
        for other in validators
    )


def _money(client: NodeClient, name: str) -> int:
    account = client.account(name)
    return integer_field(account, "money_micro") + integer_field(account, "money_reserved_micro")


def _wait_until(client: NodeClient, height: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while integer_field(status := client.status(), "final_height") < height:
        if time.monotonic() > deadline:
            raise NodeTimeout(f"{client.url} did not reach height {height}", actual=status)
        time.sleep(POLL_S)


def _fits(found: Json, module: str, event: str, fields: Mapping[str, object]) -> bool:
    if found.get("module") != module or found.get("event") != event:
        return False
    told = object_field(found, "fields")
    return all(told.get(name) == value for name, value in fields.items())
