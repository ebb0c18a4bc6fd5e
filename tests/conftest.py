"""What every test shares: a stated seed, markers, free ports, and no silent empty run."""

import os
import socket
from collections.abc import Callable, Iterator

import hypothesis
import pytest

MARKERS = {
    "simulation": "runs whole networks of engines in simulated time; `make sim SEEDS=n`",
    "long": "real processes for longer than the suite allows; `make long`",
    "browser": "looks at every page at every size; `make browser`",
    "network": "starts real processes or opens real sockets on this machine",
    "slow": "takes more than about five seconds",
}
CAMPAIGNS = ("browser", "long")
"""Markers of what runs only where it is asked for."""
DEFAULT_SEED = "1"

# Listening ports come from below the range that the kernel gives to outgoing connections, a
# stretch for each worker, so that two workers never hand out the same one.
FIRST_PORT, LAST_PORT, PORTS_PER_WORKER = 15_000, 31_000, 1_000

hypothesis.settings.register_profile(
    "house",
    database=None,  # what an earlier run found must not change this one
    deadline=None,  # a loaded machine is not a failure
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("house")

_outcomes = {"ran": 0}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    if not _is_worker(config):  # workers are handed the options of the run
        wanted = config.option.hypothesis_seed or DEFAULT_SEED
        if wanted == "random":
            wanted = str(int.from_bytes(os.urandom(4), "big"))
        config.option.hypothesis_seed = wanted


@pytest.hookimpl
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave campaigns out unless they are asked for by their marker."""
    left_out = [name for name in CAMPAIGNS if name not in (config.option.markexpr or "")]
    items[:] = [
        item for item in items if not any(item.get_closest_marker(name) for name in left_out)
    ]


def pytest_report_header(config: pytest.Config) -> str:
    return _repeat_with(config)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Say how to repeat a run that failed, and that an empty run is a failure."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        terminalreporter.write_line("no test ran: that is a failure, not a pass", red=True)
    elif exitstatus:
        terminalreporter.write_line(_repeat_with(config))


def _repeat_with(config: pytest.Config) -> str:
    return (
        f"seed: {config.option.hypothesis_seed} (repeat with --hypothesis-seed or make test SEED)"
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and not report.skipped:
        _outcomes["ran"] += 1


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run in which nothing ran: nothing collected, all deselected or all skipped."""
    is_listing = session.config.option.collectonly
    if exitstatus == pytest.ExitCode.OK and not is_listing and not _is_worker(session.config):
        if not _outcomes["ran"]:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process runs a share of the tests for another one."""
    return hasattr(config, "workerinput")


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that returns a port of 127.0.0.1 on which nothing listens.

    No two calls of a run return the same port, also not in different workers.
    """
    return free_ports()


def free_ports() -> Callable[[], int]:
    """Return a function that returns free ports, for campaigns that run without pytest."""
    ports = _ports_of_this_worker()
    return lambda: next(ports)


def _ports_of_this_worker() -> Iterator[int]:
    first = _first_port_of_this_worker()
    last = first + PORTS_PER_WORKER // 2 - 1
    for port in range(first, last + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
    raise RuntimeError(f"no free port from {first} to {last}")


def _first_port_of_this_worker() -> int:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    stretches = (LAST_PORT - FIRST_PORT) // PORTS_PER_WORKER
    # Parallel runs on one machine begin at different places; the parent is the run's own process.
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return FIRST_PORT + (run * 7 + worker) % stretches * PORTS_PER_WORKER


@pytest.fixture(scope="session", autouse=True)
def ports_of_networks() -> Iterator[None]:
    """Give the networks that commands make the half of this worker's ports that tests leave."""
    last = _first_port_of_this_worker() + PORTS_PER_WORKER - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITENERGY_PORTS", f"{last + 1 - PORTS_PER_WORKER // 2}-{last}")
        yield
