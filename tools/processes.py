"""Processes that outlive the command that started them: found again and ended safely.

A process is known by its id *and* its start time since boot, so that a pid file that survived
a crash or a reboot never leads to another program that got the same id.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.errors import ToolError


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """Which process, unmistakably."""

    pid: int
    """Its id."""
    start_ticks: int
    """When it started, in clock ticks since boot."""
    boot_id: str
    """Which boot that was."""


def start_process(
    arguments: Sequence[str], *, log: Path, pid_file: Path, environment: Mapping[str, str]
) -> ProcessMark:
    """Start a program of its own session, its output appended to `log`, and note it in `pid_file`.

    `arguments[0]` is an absolute path. Raises ToolError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        pid = os.posix_spawn(
            arguments[0],
            list(arguments),
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        raise ToolError(
            f"cannot start {arguments[0]}: {error.strerror}", code="cannot_start"
        ) from error
    mark = mark_of(pid)
    if mark is None:
        raise ToolError(f"process {pid} ended at once", code="cannot_start", hint=f"See {log}.")
    temporary = pid_file.with_name(pid_file.name + ".new")
    temporary.write_text(
        json.dumps({"pid": pid, "start_ticks": mark.start_ticks, "boot_id": mark.boot_id}) + "\n",
        encoding="ascii",
    )
    temporary.replace(pid_file)
    return mark


def load_mark(pid_file: Path) -> ProcessMark | None:
    """Return the process that `pid_file` notes, None if there is no (whole) file."""
    try:
        found = json.loads(pid_file.read_text(encoding="ascii"))
        return ProcessMark(int(found["pid"]), int(found["start_ticks"]), str(found["boot_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def mark_of(pid: int) -> ProcessMark | None:
    """Return the mark of the running process `pid`; None if it has ended, waited for or not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The program's name may hold spaces and brackets; the fields after it do not.
    fields = text.rpartition(")")[2].split()
    if fields[0] in ("Z", "X", "x"):
        return None
    return ProcessMark(pid, int(fields[19]), boot_id)


def is_running(mark: ProcessMark | None) -> bool:
    """Tell whether this very process runs."""
    return mark is not None and mark_of(mark.pid) == mark


def send_signal(mark: ProcessMark, number: int) -> bool:
    """Send a signal to this very process; False if it is gone."""
    try:
        descriptor = os.pidfd_open(mark.pid)
    except OSError:
        return False
    try:
        # The descriptor is bound to whatever has the id now; only then is its mark compared.
        if not is_running(mark):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def wait_ended(marks: Sequence[ProcessMark], timeout_s: float) -> list[ProcessMark]:
    """Wait until the processes have ended; return those that still run after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        left = [mark for mark in marks if is_running(mark)]
        for mark in marks:
            _reap(mark.pid)
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.02)


def stop_processes(marks: Sequence[ProcessMark], timeout_s: float) -> list[ProcessMark]:
    """Ask the processes to end, and after `timeout_s` make them; return those that were made."""
    for mark in marks:
        send_signal(mark, signal.SIGTERM)
    stubborn = wait_ended(marks, timeout_s)
    for mark in stubborn:
        send_signal(mark, signal.SIGKILL)
    wait_ended(stubborn, 5.0)
    return stubborn


def _reap(pid: int) -> None:
    """Take the exit status of a child of ours, so that no dead entry stays; others are not ours."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
