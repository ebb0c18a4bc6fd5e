"""What several commands share: amounts as parameters, common options, shapes of their output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import click

from tools.amounts import (
    InvalidAmount,
    format_kwh,
    format_tokens,
    parse_energy,
    parse_price,
    parse_tokens,
)
from tools.output import note, print_table
from tools.session import Session

Command = TypeVar("Command", bound=Callable[..., object])
pass_session = click.make_pass_decorator(Session)

Column = tuple[str, tuple[str, ...], Callable[[object], str]]
"""Title, the answer's fields that may fill it (the first that is there), how it is shown."""


class AmountType(click.ParamType):
    """A parameter that is written like `6kWh` or `9.82` and becomes an integer."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the base units of `value`; ends the command with a usage error otherwise."""
        if isinstance(value, int):
            return value
        try:
            return self._parse(value)
        except InvalidAmount as refused:
            self.fail(str(refused), param, ctx)


ENERGY: Final = AmountType("energy", parse_energy)
PRICE: Final = AmountType("price", parse_price)
TOKENS: Final = AmountType("tokens", parse_tokens)


def json_option(command: Command) -> Command:
    """Add `--json`; the session knows of it, so that errors are JSON too."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            ctx.ensure_object(Session).as_json = True

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Print JSON for scripts.",
    )(command)


def from_option(command: Command) -> Command:
    """Add `--from`, the wallet's key that signs."""
    return click.option(
        "--from",
        "signer",
        metavar="KEY",
        envvar="BITENERGY_FROM",
        help="The wallet's key that signs; not needed if there is one only.",
    )(command)


def as_option(command: Command) -> Command:
    """Add `--as`, the wallet's key that signs what is asked for."""
    return click.option(
        "--as",
        "signer",
        metavar="KEY",
        help="The wallet's key that signs the request, where it is for personal data.",
    )(command)


def exit_option(command: Command) -> Command:
    """Add `--exit`, which stops what the command started."""
    return click.option("--exit", "leave", is_flag=True, help="Stop the network at the end.")(
        command
    )


def stage_option(default_s: float) -> Callable[[Command], Command]:
    """Return what adds `--stage`, the seconds that each stage of a demonstration takes."""
    return click.option(
        "--stage",
        "stage_s",
        type=click.FloatRange(1, 600),
        default=default_s,
        show_default=True,
        help="Seconds that each stage takes.",
    )


def limit_option(command: Command) -> Command:
    """Add `--limit`, the most entries to show."""
    return click.option(
        "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most."
    )(command)


def before_option(command: Command) -> Command:
    """Add `--before`, where to go on."""
    return click.option(
        "--before", metavar="PLACE", help="A height, or the place that the last answer ended with."
    )(command)


def print_more(answer: Mapping[str, object], option: str) -> None:
    """Say how to see what comes after an answer that was cut off."""
    if answer.get("next") is not None:
        note(f"There is more: {option} {answer['next']}")


def as_text(value: object) -> str:
    """Show a value as it is, a dash for an empty one."""
    return str(value) or "–"


def as_outcome(code: object) -> str:
    """Show the code of a receipt."""
    return str(code) or "ok"


def as_kwh(value: object) -> str:
    """Show milliwatt-hours as kWh."""
    return format_kwh(value) if isinstance(value, int) else str(value)


def as_tokens(value: object) -> str:
    """Show micro-tokens as tokens."""
    return format_tokens(value) if isinstance(value, int) else str(value)


def as_time(value: object) -> str:
    """Show milliseconds UTC as a date and a time."""
    from datetime import UTC, datetime

    if not isinstance(value, int):
        return str(value)
    try:
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(value)


def as_list(value: object) -> str:
    """Show a list with commas."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def print_records(
    title: str, records: Sequence[Mapping[str, object]], columns: Sequence[Column]
) -> None:
    """Print objects of an answer as a table; what an object lacks shows as a dash."""
    rows = [[_cell(record, names, show) for _, names, show in columns] for record in records]
    print_table(title, [heading for heading, _, _ in columns], rows)


def _cell(record: Mapping[str, object], names: Sequence[str], show: Callable[[object], str]) -> str:
    for name in names:
        if record.get(name) is not None:
            return show(record[name])
    return "–"
