"""A program that stands in for a node in tests of the local testnet: it answers its status.

Run with the path of a node.toml. The node's name says how it behaves: one called `dies` ends at
once, one called `deaf` answers nothing, one called `stubborn` ignores SIGTERM.
"""

import json
import signal
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

PATH = Path(sys.argv[1])
CONFIG = tomllib.loads(PATH.read_text())
RECORD = json.loads((PATH.parent.parent / "testnet.json").read_text())


class Handler(BaseHTTPRequestHandler):
    """Answers every request like /status."""

    def do_GET(self) -> None:
        """Answer."""
        answer = {"genesis": RECORD["genesis"], "final_height": 3, "state_root": "ab" * 32}
        data = json.dumps(answer | {"peers": 0}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve until ended."""
    name = CONFIG["node"]["name"]
    print(f"{name} starts", flush=True)
    if name == "dies":
        sys.exit("the disk is full")
    if name == "deaf":
        signal.pause()
    if name == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    host, _, port = CONFIG["api"]["listen"].rpartition(":")
    HTTPServer((host, int(port)), Handler).serve_forever()


main()
