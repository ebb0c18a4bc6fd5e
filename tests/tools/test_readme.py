"""The pages for people: every command line in them parses, and every path they name exists."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from node.config import _TABLES
from node.ledger.genesis import decode_genesis
from node.node import make_engine
from tools.cli import cli
from tools.commands.testnet import load_template
from tools.session import Session
from tools.testnet import create_network

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "genesis/README.md", "docs/operating.md", "docs/api.md")
UNIT = ROOT / "docs" / "bitenergy-node.service"

# What stands for the reader's own values in the examples.
VALUES = {
    "PEER": "ab" * 32 + "@192.168.1.11:8646",
    "KEY": "ab" * 32,
    "NODE_KEY": "cd" * 32,
    "NODE_PROOF": "ef" * 64,
    "ID": "ab" * 32,
    "BITENERGY_NODE": "http://127.0.0.1:8645",
}
# Programs of the system that the pages use beside our own.
SYSTEM = (".", "cp", "curl", "export", "journalctl", "python", "unset")
ADMINISTRATION = (
    "adduser",
    "apt-get",
    "chown",
    "cp",
    "git",
    "make",
    "mv",
    "rm",
    "systemctl",
)
TOP = "consensus|dispatch|docs|genesis|market|node|tests|tools|vm|Makefile|pyproject.toml|README.md"
OWN_PATH = re.compile(rf"(?:{TOP})(?:/[A-Za-z0-9._/-]*)?")


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def command_lines() -> Iterator[tuple[str, str]]:
    """Yield each line of the shell blocks with its page."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            yield from ((page, line) for line in block.splitlines() if line.strip())


def commands_named() -> Iterator[tuple[str, str]]:
    """Yield each command of ours that a sentence names, with its page."""
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text("utf-8"), flags=re.S | re.M)
        for inline in re.findall(r"`bitenergy ([^`]*)`", text):
            yield page, " ".join(inline.split())


def words_of(line: str) -> list[str]:
    """Return the words of a command line, the reader's values filled in, redirections left out."""
    line = re.sub(r"\$\(.*\)", "made-by-another-command", line)
    line = re.sub(r" > \S+$", "", line)
    return shlex.split(re.sub(r"\$([A-Z_]+)", lambda found: VALUES[found[1]], line))


def parse(arguments: list[str]) -> None:
    """Have click parse a command line of ours to its end, and run nothing."""
    session = Session(Path("nowhere"))
    cli.main(args=arguments, prog_name="bitenergy", standalone_mode=False, obj=session)


def options_of(arguments: list[str]) -> tuple[click.Command, set[str]]:
    """Return the command that the words lead to, and the options on the way to it."""
    command: click.Command = cli
    context = click.Context(cli)
    options: set[str] = set()
    for word in [*arguments, ""]:
        options |= {name for option in command.get_params(context) for name in option.opts}
        following = command.get_command(context, word) if isinstance(command, click.Group) else None
        if following is not None:
            command, context = following, click.Context(following, parent=context)
    return command, options


@pytest.fixture(autouse=True)
def _parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BITENERGY_")]:
        monkeypatch.delenv(name)
    # Leaves do nothing; groups go on to the command below them.
    monkeypatch.setattr(click.Command, "invoke", lambda self, ctx: None)
    # The reader's files are not here.
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: Path(value))


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_a_command_line_parses(page: str, line: str) -> None:
    words = words_of(line)
    program, arguments = words[0], words[1:]
    if program == "sudo":
        assert arguments[0] in ADMINISTRATION, line
        program, arguments = arguments[0], arguments[1:]
    if program == "bitenergy":
        parse(arguments)
    elif program == "make":
        known = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        bare = [word for word in arguments if "=" not in word and word[:1] not in ("-", "/")]
        assert bare and set(bare) <= set(known), line
    else:
        assert program in (*SYSTEM, *ADMINISTRATION), line


@pytest.mark.parametrize(("page", "words"), sorted(set(commands_named())))
def test_a_command_that_a_sentence_names_exists(page: str, words: str) -> None:
    command, options = options_of(words.split())
    assert command is not cli, words
    unknown = {word for word in words.split() if word.startswith("--")} - options
    assert not unknown, words


@pytest.mark.parametrize(
    "wrong",
    [
        "demo --cases 3",
        "offer post --energy 6 --price 9.82",
        "buy --energy 6kWh",
        "node runs",
        "proof account --verify",
        "testnet up --unknown",
    ],
)
def test_a_wrong_line_is_noticed(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parse(wrong.split())


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_is_named_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = [
        word
        for quoted in re.findall(r"`([^`\n]+)`", text) + blocks(page, "sh")
        for word in quoted.split()
        if OWN_PATH.fullmatch(word) and ("/" in word or "." in word)
    ]
    if page == "genesis/README.md":
        named += [f"genesis/{word}" for word in re.findall(r"`((?:cases/)?[\w-]+\.json)`", text)]
        named = [word for word in named if word != "genesis/genesis.json"]
    assert named
    missing = [word for word in named if not (ROOT / word).exists()]
    assert not missing, f"{page} names what is not there"


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_compile_and_import_what_exists(page: str) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, name.name) for name in node.names), node.module


def test_operating_explains_every_setting_and_no_other() -> None:
    text = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    known = {f"{table}.{name}" for table, names in _TABLES.items() for name in names}
    section = text.partition("## Configuration")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+\.\w+)` \|", section, re.MULTILINE)) == known


def test_the_unit_starts_what_exists() -> None:
    text = UNIT.read_text(encoding="utf-8")
    start = re.search(r"^ExecStart=/opt/bitenergy/\.venv/bin/bitenergy (.*)$", text, re.MULTILINE)
    assert start is not None
    parse(start[1].split())
    assert "\nRestartPreventExitStatus=2 70 74 78\n" in text


def test_the_template_makes_a_network_of_this_version(tmp_path: Path) -> None:
    network = create_network(tmp_path / "net", load_template(None), validators=4)
    genesis = decode_genesis((network.folder / "genesis.json").read_bytes())
    assert make_engine(genesis, genesis.parameters, None) is not None
    names = [member.member.name for member in genesis.members]
    assert names == ["operator", "EDC", "P1", "P2", "P3", "C1", "C2", "S1", "V1", "V2", "V3", "V4"]
    markets = json.loads((ROOT / "genesis/testnet.json").read_text())["modules"]["market"]
    policies = {market["name"]: market["line_policy"] for market in markets["markets"]}
    assert policies == {"feeder": "penalty", "spot": "ignore"}
