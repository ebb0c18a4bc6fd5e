"""What some tests need of the machine: without it they are skipped, but never where CI is set."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys

import pytest


def require_strace() -> None:
    """Skip the test, or fail it under CI, where strace cannot watch processes of ours."""
    require(_why_no_strace())


def require_namespaces() -> None:
    """Skip the test, or fail it under CI, where no network namespaces can be made."""
    require(_why_no_namespaces())


def require(why: str) -> None:
    """Skip the test for a reason, or fail it under CI; no reason, no skip."""
    if not why:
        return
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(f"{why}; under CI nothing may be left out")
    pytest.skip(why)


@functools.cache
def _why_no_strace() -> str:
    if shutil.which("strace") is None:
        return "strace is not installed (apt-get install strace)"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        words = ["strace", "-f", "-o", os.devnull, "-p", str(process.pid)]
        tracer = subprocess.Popen(words, stderr=subprocess.PIPE)
        try:
            assert tracer.stderr is not None
            said = tracer.stderr.readline().decode("utf-8", "replace")
        finally:
            tracer.terminate()
            tracer.communicate()
            process.kill()
    return "" if " attached" in said else f"strace may not watch processes here: {said.strip()}"


@functools.cache
def _why_no_namespaces() -> str:
    if shutil.which("ip") is None:
        return "ip is not installed (apt-get install iproute2)"
    veth = ["name", "one", "type", "veth", "peer", "name", "two"]
    words = ["unshare", "--net", "ip", "link", "add", *veth]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"network namespaces cannot be made here: {error}"
    if done.returncode:
        return f"network namespaces take rights that we do not have here: {done.stderr.strip()}"
    return ""
