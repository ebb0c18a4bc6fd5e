"""The `bitenergy` command: its groups, loaded when used, and its exit statuses."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from tools.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, ToolError
from tools.output import print_json, print_lines
from tools.session import DEFAULT_HOME, ENV_FINGERPRINT, ENV_HOME, ENV_NODE, Session
from vm.primitives.errors import BitenergyError

# Command, the module that has it, and its line of help (stated here so that `bitenergy --help`
# imports none of them).
COMMANDS: Final = {
    "demo": ("demo", "Trade the three published cases on four validators, here and now."),
    "testnet": ("testnet", "A network of several nodes on this machine."),
    "init": ("node", "Make the folder of one node: keys and configuration."),
    "node": ("node", "Run one node, see how it is, and why it does not advance."),
    "wallet": ("wallet", "Keys, balances and transfers."),
    "offer": ("offer", "Sell energy: post, update, withdraw and list offers."),
    "buy": ("buy", "Buy energy, cheapest first."),
    "market": ("market", "The order book, trades and lines of a market."),
    "meter": ("meter", "Meters: register, submit and import registers, see readings."),
    "member": ("member", "The registry of members."),
    "governance": ("governance", "Changes of the rules: propose, vote, see what is in force."),
    "shadow": ("shadow", "Try other rules on the live chain's transactions, before the vote."),
    "contract": ("contract", "Market rules of your own: check, test, deploy and call them."),
    "stake": ("stake", "Stake behind validators, and what it earns."),
    "explorer": ("explorer", "Pages that show the chain, and trade from a browser."),
    "tx": ("chain", "Look at a transaction."),
    "block": ("chain", "Look at a block."),
    "proof": ("chain", "Check the chain's word without trusting a node."),
    "auction": ("auction", "Call auctions by delivery interval, open and sealed."),
    "certificate": ("certificate", "Guarantees of origin, plants, green-choice coins."),
    "bill": ("bill", "Bills of a day market by member and month, with a proof of each line."),
    "ev": ("ev", "Charging quotas: the published round on four validators."),
    "response": ("response", "Demand response: both of its ways on four validators."),
    "agent": ("agent", "A prosumer's agent, which trades by itself, and how agents learn."),
    "dispatch": ("dispatch", "Economic dispatch and nodal prices: solve a case, verify a result."),
    "board": ("board", "Run one board, which computes dispatch with its neighbours."),
    "bench": ("bench", "Measure this machine."),
}

EPILOG: Final = """\b
Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 node unreachable,
4 not in time.
\b
Amounts are written 6kWh, 250Wh, 9.82 (tokens; a price is per kWh).
"""


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported when one is used."""

    def __init__(self, *, lazy: Mapping[str, tuple[str, str]], **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which people meet them."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        if cmd_name not in self._lazy:
            return None
        module = importlib.import_module(f"tools.commands.{self._lazy[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        if not isinstance(command, click.Command):
            raise TypeError(f"{cmd_name}_command is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])


@click.group(cls=LazyGroup, lazy=COMMANDS, epilog=EPILOG, no_args_is_help=True)
@click.option(
    "--node", metavar="URL", envvar=ENV_NODE, help="Address of the node's API [env BITENERGY_NODE]."
)
@click.option(
    "--fingerprint",
    metavar="SHA256",
    envvar=ENV_FINGERPRINT,
    help="Of the certificate of a node that serves HTTPS [env BITENERGY_FINGERPRINT].",
)
@click.option(
    "--home",
    metavar="DIR",
    envvar=ENV_HOME,
    default=DEFAULT_HOME,
    show_default=True,
    help="Folder of keys and settings [env BITENERGY_HOME].",
)
@click.option(
    "--password-file",
    metavar="FILE",
    help="File (mode 0600, or - for standard input) whose first line is the password "
    "[else env BITENERGY_PASSWORD, else a prompt].",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1, max=3600),
    default=30.0,
    show_default=True,
    help="Seconds to wait for a transaction to be final.",
)
@click.version_option(package_name="bitenergy", prog_name="bitenergy")
@click.pass_obj
def cli(
    session: Session,
    node: str | None,
    fingerprint: str | None,
    home: str,
    password_file: str | None,
    timeout_s: float,
) -> None:
    """Trade energy with your neighbours, and run the network that settles it."""
    session.node = node
    session.fingerprint = fingerprint
    session.home = Path(home).expanduser()
    session.password_file = password_file
    session.timeout_s = timeout_s


def main() -> None:
    """Run `bitenergy` with the arguments of the process, and exit."""
    sys.exit(run(None))


def run(arguments: Sequence[str] | None) -> int:
    """Run one command line and return its exit status; people's mistakes leave no traceback."""
    session = Session(Path(DEFAULT_HOME).expanduser())
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="bitenergy",
            standalone_mode=False,
            obj=session,
        )
    except click.exceptions.NoArgsIsHelpError as error:
        print_lines(error.ctx.get_help())
        return EXIT_USAGE
    except click.ClickException as error:
        # A line that cannot be parsed may hold a --json that was not come to.
        session.as_json |= "--json" in (sys.argv[1:] if arguments is None else arguments)
        return _report_usage(session, error)
    except (click.Abort, KeyboardInterrupt):
        print_lines("interrupted", stream=sys.stderr)
        return EXIT_INTERRUPTED
    except BitenergyError as error:
        return _report(session, error)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        return _report(session, _refused_by_the_machine(error))
    return result if isinstance(result, int) else EXIT_OK


def _refused_by_the_machine(error: OSError) -> ToolError:
    """Return the words for a file, a folder or an address that cannot be had."""
    reason = error.strerror or str(error)
    if not error.filename:
        return ToolError(f"the machine refuses: {reason}", code="system")
    return ToolError(
        f"{error.filename}: {reason}",
        code="system",
        hint="Check the name, that it is yours to read or write, and that the disk has room.",
    )


def _report(session: Session, error: BitenergyError) -> int:
    """Say what went wrong and what to do, and return the exit status."""
    if session.as_json:
        print_json(
            {
                "error": {
                    "code": error.code,
                    "message": error.message,
                    "expected": _plain(error.expected),
                    "actual": _plain(error.actual),
                    "hint": error.hint,
                }
            }
        )
    else:
        print_lines(f"bitenergy: {error}", stream=sys.stderr)
    return error.exit_status if isinstance(error, ToolError) else EXIT_FAILED


def _report_usage(session: Session, error: click.ClickException) -> int:
    if session.as_json:
        print_json({"error": {"code": "usage", "message": error.format_message()}})
    else:
        error.show()
    return EXIT_USAGE if isinstance(error, click.UsageError) else EXIT_FAILED


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, int | str) else str(value)


if __name__ == "__main__":
    main()
