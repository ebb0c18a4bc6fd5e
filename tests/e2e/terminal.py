"""A terminal of a given width, in which a command runs as it does before a person's eyes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence

from tests.e2e.support import ROOT, Commands, command_words

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_on_terminal(
    commands: Commands, arguments: Sequence[str], *, columns: int
) -> tuple[int, list[str]]:
    """Return the exit status and the lines that stand on the terminal, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(commands.folder),
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        **commands.settings,
    }
    process = subprocess.Popen(
        [*command_words(), *arguments],
        cwd=commands.folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = bytearray()
    with contextlib.suppress(OSError):  # the terminal ends with its last program
        while data := os.read(ours, 65_536):
            shown += data
    os.close(ours)
    status = process.wait(30)
    text = _ESCAPES.sub("", shown.decode("utf-8", "replace"))
    return status, [line.rstrip() for line in text.splitlines() if line.strip()]
