"""A network of four validators with a page server, and Chromium to look at it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.day_world import DayWorld, day_world, sealed_world
from tests.e2e.full_network import HOSTILE, play, write_template
from tests.e2e.support import Commands, Json, until

HERE = Path(__file__).resolve().parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = os.environ.get("BITENERGY_PICTURES", "")
"""Folder in which the run keeps its screenshots; empty for the run's temporary one."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DEADLINE_MS = 15_000
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.network)
            item.add_marker(pytest.mark.xdist_group("browser"))


@dataclass(frozen=True)
class Explorer:
    """Where the pages are, and how a person at a terminal reaches the same network."""

    url: str
    commands: Commands

    def ask(self, path: str) -> Json:
        """Return what the documented API answers."""
        return self.commands.ask_api(path)  # type: ignore[attr-defined, no-any-return]


class Terminal(Commands):
    """The command line of the network's operator."""

    node = ""

    def ask_api(self, path: str) -> Json:
        """Return the answer of the node's API."""
        done = subprocess.run(
            ["curl", "--silent", "--fail-with-body", f"{self.node}/api/v1{path}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="package")
def explorer(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Explorer]:
    """Four validators with stakes on which every mechanism was used, and a server of pages."""
    folder = tmp_path_factory.mktemp("browser")
    terminal = Terminal(folder, {"BITENERGY_HOME": str(folder / "net" / "home")})
    write_template(folder / "template.json", engine="pos")
    terminal.run("testnet", "init", "--dir", "net", "--genesis", "template.json")
    terminal.run("testnet", "up", "--dir", "net")
    try:
        terminal.node = json.loads((folder / "net" / "home" / "network.json").read_text())["node"]
        trade(terminal)
        play(terminal)
        port = free_port()
        with terminal.background("explorer", "run", "--port", str(port)):
            until(lambda: _listens(port), "the page server listens")
            yield Explorer(f"http://127.0.0.1:{port}/", terminal)
    finally:
        terminal.run("testnet", "down", "--dir", "net")


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DayWorld]:
    """A node with a day of a day market behind it."""
    with day_world(tmp_path_factory.mktemp("day")) as found:
        yield found


@pytest.fixture(scope="package")
def open_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DayWorld]:
    """A node with a day market whose gates are open, the first of them sealed."""
    with sealed_world(tmp_path_factory.mktemp("open-day")) as found:
        yield found


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def trade(terminal: Terminal) -> None:
    """Post and buy in both markets, and write what browsers must not take for markup."""
    spot, feeder = ("--market", "spot"), ("--market", "feeder")
    terminal.run("offer", "post", "--energy", "6kWh", "--price", "9.82", "--from", "P1", *spot)
    terminal.run("offer", "post", "--energy", "7kWh", "--price", "9.90", "--from", "P2", *spot)
    terminal.run("buy", "--energy", "8kWh", "--max-price", "10", "--from", "C1", *spot)
    terminal.run("offer", "post", "--energy", "8kWh", "--price", "9.50", "--from", "P2", *feeder)
    terminal.run("buy", "--energy", "6kWh", "--max-price", "10", "--from", "C2", *feeder)
    terminal.run("wallet", "transfer", "P1", "2.50", "--from", "C1", "--memo", HOSTILE)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Chromium; its absence fails where CI runs and skips on a user's machine.

    Its driver holds an event loop of its own, which must be gone before the next package's tests.
    """
    if CHROMIUM is None:
        reason = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A browser window that notes what it should not see: errors, and requests elsewhere."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.page: Page = context.new_page()
        self.page.set_default_timeout(DEADLINE_MS)
        self.problems: list[str] = []
        self.bytes = 0
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", self._see)
        self.page.on("response", self._count)
        self.page.on("dialog", lambda dialog: dialog.accept())

    def go(self, path: str) -> Page:
        """Open a page and wait until it is ready."""
        self.page.goto(self.url + path.lstrip("/"))
        return self.ready()

    def ready(self) -> Page:
        """Wait until the page that the address names is there."""
        self.page.wait_for_selector("main[data-ready][aria-busy=false]")
        return self.page

    def _hear(self, message: object) -> None:
        if getattr(message, "type", "") == "error":
            self.problems.append(f"console: {getattr(message, 'text', '')}")

    def _see(self, request: object) -> None:
        address = str(getattr(request, "url", ""))
        own = self.url.partition("://")[2]
        if not address.partition("://")[2].startswith(own) and not address.startswith("blob:"):
            self.problems.append(f"request: {address}")

    def _count(self, response: object) -> None:
        headers = getattr(response, "headers", {})
        self.bytes += int(headers.get("content-length", 0))


@pytest.fixture
def visit(chromium: Browser, explorer: Explorer) -> Iterator[Visit]:
    """A window of desktop size."""
    context = chromium.new_context(viewport=DESKTOP, locale="en-GB")  # type: ignore[arg-type]
    found = Visit(context, explorer.url)
    yield found
    context.close()
    assert found.problems == []


def picture(page: Page, name: str, tmp_path: Path) -> None:
    """Keep what the page looks like."""
    folder = Path(PICTURES) if PICTURES else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
