"""The ports that `testnet init` and `demo` choose."""

import os
import socket

import pytest

from tools.errors import ToolError
from tools.node_folder import choose_ports


def test_they_are_free_apart_and_within_the_stretch() -> None:
    first, last = map(int, os.environ["BITENERGY_PORTS"].split("-"))
    with socket.create_server(("127.0.0.1", choose_ports(1)[0])) as server:
        ports = choose_ports(20, taken=[last])
        assert server.getsockname()[1] not in ports
    assert len(set(ports)) == 20
    assert all(first <= port < last for port in ports)


@pytest.mark.parametrize("text", ["21000", "9-5", "80-90", "a-b", "60000-70000"])
def test_what_is_no_stretch_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITENERGY_PORTS", text)
    with pytest.raises(ToolError, match="BITENERGY_PORTS"):
        choose_ports(1)
