"""What `member set` and `member credit` ask of the chain, and what they refuse."""

from pathlib import Path

import pytest

from tools import calls
from tools.cli import run
from vm.primitives.errors import InvalidInput


@pytest.mark.parametrize(
    "arguments",
    [
        ["member", "set"],
        ["member", "set", "P1"],
        ["member", "set", "--bus", "N1"],
        ["member", "set", "--vote-key", "12"],
        ["member", "set", "--node-key", "00" * 32],
        ["member", "credit", "P1"],
    ],
)
def test_what_says_too_little_or_too_much_is_a_usage_error(
    arguments: list[str], tmp_path: Path
) -> None:
    # Nothing listens at this address: what needs the node first ends as unreachable.
    home = ["--home", str(tmp_path), "--node", "http://127.0.0.1:9"]
    assert run([*home, *arguments]) in (2, 3)


def test_the_calls_name_the_modules_methods_and_arguments() -> None:
    account, key = bytes(20), bytes(32)
    assert calls.set_vote_key(key) == ("members", "set_vote_key", (key,))
    assert calls.set_node_key(key, bytes(64)) == ("members", "set_node_key", (key, bytes(64)))
    assert calls.set_roles(account, 5) == ("members", "set_roles", (account, 5))
    assert calls.set_bus(account, "N1") == ("members", "set_bus", (account, "N1"))
    assert calls.mint(account, 7) == ("accounts", "mint", (account, 7))
    assert calls.mint_energy(account, 7) == ("accounts", "mint_energy", (account, 7))
    with pytest.raises(InvalidInput):
        calls.mint(account, 0)
