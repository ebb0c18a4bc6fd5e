"""Requests generated from the API's own description, for a live node whose answers must fit it.

`python -m tests.e2e.api_cases --cases 10000` is a campaign; the suite sends a few hundred.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import hypothesis
import requests
import schemathesis
from hypothesis import strategies as st
from rich.progress import Progress
from schemathesis import GenerationMode
from schemathesis.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.failures import Failure, FailureGroup

from tests.conftest import free_ports
from tests.e2e.full_network import play, write_template
from tests.e2e.support import Commands, Json, stop_in_order
from vm.primitives.codec import encode

CHECKS: Final = (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
BUSY: Final = 503
"""The one status above 499 that is no fault: the node has too much to do."""
TIMEOUT_S: Final = 45
SPREAD: Final = 1_000_000_000
"""Bound of the numbers that generated calls carry."""


# mutable: filled while the requests run
@dataclass
class Findings:
    """What came of many requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    """How often each status was answered."""
    operations: Counter[str] = field(default_factory=Counter)
    """How often each operation was asked."""
    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    """The first request of each kind of fault, by operation and what is wrong."""

    @property
    def cases(self) -> int:
        """How many requests were answered."""
        return sum(self.statuses.values())


class Known:
    """What stands on the chain of the node, so that generated requests also find something."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1"
        members = self._ask("/members?limit=100")["members"]
        blocks = self._ask("/blocks?limit=20")["blocks"]
        names = [each["name"] for each in members]
        self.texts: dict[str, list[object]] = {
            "who": [*names, *(each["address"] for each in members)],
            "account": names,
            "seller": names,
            "height": ["latest", *(each["height"] for each in blocks), blocks[0]["id"]],
            "market": [each["name"] for each in self._ask("/markets")["markets"]],
            "id": [each["id"] for each in self._ask("/transactions")["transactions"]],
            "area": [each["name"] for each in self._ask("/dispatch/areas")["areas"]],
            "auction": [each["name"] for each in self._ask("/auctions")["auctions"]],
            "member": names,
            "module": [each["name"] for each in self._ask("/modules")["modules"]],
            "event": ["transfer", "clear", "price", "trade", "vote"],
            "number": list(range(3)),
            "interval": list(range(3)),
        }
        self.texts = {name: found for name, found in self.texts.items() if found}
        self.modules = [
            (module["name"], method["name"], len(method["arguments"]))
            for module in self._ask("/modules")["modules"]
            for method in module["methods"]
        ]

    def _ask(self, path: str) -> Any:
        answer = requests.get(self._url + path, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()

    @st.composite
    @staticmethod
    def attempts(draw: st.DrawFn, known: Known) -> Json:
        """Draw a body of /preview whose calls are calls, with arguments of any kind."""
        value = st.one_of(
            st.integers(-SPREAD, SPREAD),
            st.integers(-(2**63), 2**63 - 1),
            st.sampled_from([*known.texts["market"], *known.texts["who"]]),
            st.text(max_size=40),
            st.binary(max_size=40),
            st.booleans(),
            st.lists(st.integers(0, 9), max_size=3),
        )
        calls = []
        for _ in range(draw(st.integers(1, 3))):
            module, method, count = draw(st.sampled_from(known.modules))
            count = draw(st.sampled_from([count, count, count, count + 1]))
            calls.append([module, method, [draw(value) for _ in range(count)]])
        text = base64.b64encode(encode(calls)).decode("ascii")
        return {"sender": draw(st.sampled_from(known.texts["who"])), "calls": text}


def send_cases(
    url: str, *, cases: int, seed: int | None = None, progress: Progress | None = None
) -> Findings:
    """Send generated requests to the node at `url`; return what was found.

    `seed` fixes what is drawn where pytest does not.
    """
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [each.ok() for each in schema.get_all_operations()]
    known = Known(url)
    findings = Findings()
    session = requests.Session()
    task = progress.add_task("requests", total=cases) if progress else None

    @hypothesis.settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.data())
    def send(data: st.DataObject) -> None:
        case = data.draw(_cases(data, data.draw(st.sampled_from(operations)), known))
        _send(case, url, session, findings)
        if progress and task is not None:
            progress.update(task, completed=findings.cases)

    (hypothesis.seed(seed)(send) if seed is not None else send)()
    session.close()
    return findings


def _cases(data: st.DataObject, operation: Any, known: Known) -> st.SearchStrategy[Any]:
    """Return how requests of an operation are drawn: some with what the chain knows."""
    mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    fixed: dict[str, Any] = {}
    if mode is GenerationMode.POSITIVE:
        for place in ("path_parameters", "query"):
            names = [each.name for each in getattr(operation, place)]
            chosen = {
                name: data.draw(st.sampled_from(known.texts[name]))
                for name in names
                if name in known.texts and data.draw(st.integers(0, 3))
            }
            if chosen:
                fixed[place] = chosen
        if operation.path.endswith("/preview") and data.draw(st.integers(0, 3)):
            fixed["body"] = data.draw(Known.attempts(known))
            fixed["media_type"] = "application/json"
    return operation.as_strategy(generation_mode=mode, **fixed)


def _send(case: Any, url: str, session: requests.Session, findings: Findings) -> None:
    label = case.operation.label
    # Waiting for what never comes says nothing more, and takes half a minute.
    if isinstance(case.query, Mapping) and "wait_ms" in case.query:
        case.query = {**case.query, "wait_ms": 1}
    answer = case.call(base_url=url, session=session, timeout=TIMEOUT_S)
    findings.statuses[answer.status_code] += 1
    findings.operations[label] += 1
    found: list[str] = []
    if answer.status_code >= 500 and answer.status_code != BUSY:
        found.append(f"server error {answer.status_code}")
    try:
        case.validate_response(answer, checks=list(CHECKS))
    except FailureGroup as group:
        found += [f"{each.title}: {each.message}" for each in group.exceptions]
    except Failure as failure:
        found.append(f"{failure.title}: {failure.message}")
    for fault in found:
        key = (label, fault.partition("\n")[0])
        findings.faults.setdefault(key, f"{case.as_curl_command()}\n{answer.text[:500]}\n{fault}")


@contextmanager
def live_node(commands: Commands) -> Iterator[str]:
    """Run a validator on whose chain something happened; yield the URL of its API."""
    write_template(commands.folder / "template.json")
    init = ("testnet", "init", "--dir", "net", "--validators", "1")
    commands.run(*init, "--genesis", "template.json")
    commands.settings["BITENERGY_HOME"] = str(commands.folder / "net" / "home")
    commands.run("testnet", "up", "--dir", "net")
    try:
        spot = ("--market", "spot")
        run = commands.run
        run("offer", "post", "--energy", "6kWh", "--price", "9.82", "--from", "P1", *spot)
        run("offer", "post", "--energy", "7kWh", "--price", "9.90", "--from", "P2", *spot)
        run("buy", "--energy", "8kWh", "--max-price", "10", "--from", "C1", *spot)
        play(commands)
        network = json.loads((commands.folder / "net" / "home" / "network.json").read_text())
        yield network["node"]
    finally:
        commands.run("testnet", "down", "--dir", "net")


@click.command()
@click.option("--cases", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
def main(cases: int, seed: int) -> None:
    """Send CASES generated requests to a node started for it."""
    stop_in_order()
    port = free_ports()()
    os.environ.setdefault("BITENERGY_PORTS", f"{port}-{port + 400}")
    start_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="bitenergy-api-") as folder,
        live_node(Commands(Path(folder))) as url,
        Progress() as progress,
    ):
        findings = send_cases(url, cases=cases, seed=seed, progress=progress)
    for number, text in enumerate(findings.faults.values(), 1):
        print(f"--- fault {number}\n{text}")
    statuses = ", ".join(
        f"{count} × {status}" for status, count in sorted(findings.statuses.items())
    )
    print(f"{findings.cases} requests in {time.monotonic() - start_s:.0f} s: {statuses}")
    print(f"{len(findings.operations)} operations asked, {len(findings.faults)} kinds of faults")
    raise SystemExit(1 if findings.faults else 0)


if __name__ == "__main__":
    main()
