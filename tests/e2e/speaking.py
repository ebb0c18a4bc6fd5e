"""Speaking with a node's p2p port by hand, as the node of a member would, or a liar's."""

from __future__ import annotations

import contextlib
import socket
import ssl

from node.keyfile import load_key
from node.p2p.certificates import NodeCertificate, make_certificate
from node.p2p.hello import PROTOCOL_VERSION, Hello, encode_hello
from node.p2p.tls import client_context
from tests.e2e.nodes import Nodes


def member_socket(
    nodes: Nodes, identity: NodeCertificate, name: str = "V1"
) -> contextlib.AbstractContextManager[ssl.SSLSocket]:
    """Connect to a node's p2p port with a member's certificate, as that member's node would."""
    node = nodes.node(name)
    server = make_certificate(load_key(node.folder / "keys" / "node.json", purpose="node"))
    context = client_context(identity, server.der)
    plain = socket.create_connection(("127.0.0.1", node.p2p_port), timeout=5)
    try:
        return context.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise


def frame(kind: int, payload: bytes) -> bytes:
    """Return a frame of the wire."""
    return len(payload).to_bytes(4, "big") + bytes([kind]) + payload


def hello_of(genesis: bytes, version: int = PROTOCOL_VERSION) -> bytes:
    """Return the frame of a hello."""
    return frame(0, encode_hello(Hello(version, genesis, 0)))


def converse(nodes: Nodes, identity: NodeCertificate, data: bytes) -> bool | None:
    """Say hello and then something; tell whether the node hung up, None if we did not get in."""
    try:
        with member_socket(nodes, identity) as connection:
            connection.settimeout(5.0)
            connection.sendall(hello_of(nodes.network.genesis))
            if not connection.recv(1):
                return None
            connection.settimeout(0.3)
            try:
                connection.sendall(data)
                while connection.recv(65_536):
                    pass
            except TimeoutError:
                return False
            except OSError:
                pass
            return True
    except OSError:
        return None


def is_hung_up(nodes: Nodes, identity: NodeCertificate, data: bytes) -> bool:
    """Say something before any hello; tell whether the node hung up."""
    try:
        with member_socket(nodes, identity) as connection:
            connection.settimeout(3.0)
            connection.sendall(data)
            while connection.recv(65_536):
                pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True
