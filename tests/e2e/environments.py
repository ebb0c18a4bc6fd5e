"""Environments of other CPython versions, with the pinned packages that a node needs.

Made once in the user's cache folder, wherever an interpreter of the version is found.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.e2e.support import ROOT

VERSIONS = ("3.12", "3.13", "3.14")
NOT_FOR_NODES = ("numba", "numpy")
INSTALL_S = 300


class NoEnvironment(Exception):
    """There is no environment of a version, and why."""


def environments() -> tuple[dict[str, Path], list[str]]:
    """Return interpreters of other versions that can run a node, and why others are left out."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    found: dict[str, Path] = {}
    reasons: list[str] = []
    for version in VERSIONS:
        if version != own:
            try:
                found[version] = environment(version)
            except NoEnvironment as reason:
                reasons.append(f"{version}: {reason}")
    return found, reasons


def environment(version: str) -> Path:
    """Return the interpreter of an environment, made if need be; raises NoEnvironment."""
    python = interpreter(version)
    if python is None:
        setting = f"BITENERGY_PYTHON{version.replace('.', '')}"
        raise NoEnvironment(f"no such Python on this machine; name one in {setting}")
    pins = ROOT / "requirements.lock"
    packages = _packages()
    known = pins.read_bytes() + f"{python} {packages}".encode()
    mark = hashlib.sha256(known).hexdigest()[:12]
    folder = _cache() / f"python{version}-{mark}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(str(python), "-m", "venv", str(folder))
            pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input")
            pip += ("--disable-pip-version-check", "--retries", "1", "--timeout", "20")
            _run(*pip, "-c", str(pins), *packages)
            (folder / "ready").touch()
    return folder / "bin" / "python"


def interpreter(version: str) -> Path | None:
    """Return an interpreter of a version, by setting, on the path, or among those of pyenv."""
    named = os.environ.get(f"BITENERGY_PYTHON{version.replace('.', '')}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [named, shutil.which(f"python{version}")]
    places += [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python{version}"))]
    for place in places:
        # A name on the path may be a stand-in that only says that there is none.
        question = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        if place:
            done = subprocess.run([place, "-c", question], capture_output=True, check=False)
            if done.stdout.decode().strip() == version:
                return Path(place)
    return None


def _packages() -> list[str]:
    """Return the packages that a node needs, as the package description names them."""
    description = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [str(each) for each in description["project"]["dependencies"]]
    return [each for each in wanted if not each.startswith(NOT_FOR_NODES)]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitenergy"


def _run(*words: str) -> None:
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=INSTALL_S, cwd=ROOT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoEnvironment(str(error)) from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it failed without a word"]
        raise NoEnvironment(f"its packages cannot be had: {lines[-1]}")
