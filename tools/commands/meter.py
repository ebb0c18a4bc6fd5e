"""`bitenergy meter`: registering meters, submitting their registers, and what they measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools.commands.options import (
    ENERGY,
    as_kwh,
    as_text,
    from_option,
    json_option,
    pass_session,
    print_records,
)
from tools.commands.outcome import print_outcome
from tools.errors import ToolError
from tools.output import note, print_json, print_lines
from tools.session import Session

if TYPE_CHECKING:
    from tools.meter_import import Known
    from tools.wallet import Signer

_MAX_INTERVAL = 2**63 - 1
_interval = click.argument("interval", type=click.IntRange(0, _MAX_INTERVAL))
_ENERGIES = [
    (">interval", ("interval",), as_text),
    (">injected kWh", ("injected_milli_wh",), as_kwh),
    (">withdrawn kWh", ("withdrawn_milli_wh",), as_kwh),
]


@click.group("meter")
def meter_command() -> None:
    """Meters: register, submit and import registers, see readings.

    An interval is its start in milliseconds UTC divided by its length.
    """


@meter_command.command("register")
@click.argument("meter")
@click.argument("member")
@_interval
@click.option("--injected", type=ENERGY, default=0, help="Register of injection then: 12.5kWh.")
@click.option("--withdrawn", type=ENERGY, default=0, help="Register of withdrawal then: 700kWh.")
@click.option("--rollover", type=ENERGY, default=0, help="Where registers begin again at 0.")
@from_option
@json_option
@pass_session
def register(
    session: Session,
    meter: str,
    member: str,
    interval: int,
    injected: int,
    withdrawn: int,
    rollover: int,
    signer: str | None,
) -> None:
    """Register METER for the connection of MEMBER, from the beginning of INTERVAL on.

    For the DSO and operators. The meter is a member with the role `meter` and a key of its own.
    """
    from tools import calls

    accounts = session.resolve(meter), session.resolve(member)
    call = calls.register_meter(*accounts, interval, (injected, withdrawn), rollover)
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, f"{meter} measures {member} from interval {interval} on", final)


@meter_command.command("revoke")
@click.argument("meter")
@click.option("--interval", type=click.IntRange(0, _MAX_INTERVAL), help="Its last interval.")
@click.option("--injected", type=ENERGY, help="Register of injection at its end.")
@click.option("--withdrawn", type=ENERGY, help="Register of withdrawal at its end.")
@from_option
@json_option
@pass_session
def revoke(
    session: Session,
    meter: str,
    interval: int | None,
    injected: int | None,
    withdrawn: int | None,
    signer: str | None,
) -> None:
    """End a meter's registration, with its last registers where they could be read."""
    from tools import calls

    last: tuple[int, int, int] | None = None
    if interval is not None and injected is not None and withdrawn is not None:
        last = (interval, injected, withdrawn)
    elif (interval, injected, withdrawn) != (None, None, None):
        raise click.UsageError("Give --interval, --injected and --withdrawn together.")
    call = calls.revoke_meter(session.resolve(meter), last)
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, f"{meter} is revoked", final)


@meter_command.command("limit")
@click.argument("member")
@click.argument("max_power_w", type=click.IntRange(min=1))
@from_option
@json_option
@pass_session
def limit(session: Session, member: str, max_power_w: int, signer: str | None) -> None:
    """Register that the connection of MEMBER carries at most MAX_POWER_W watts, either way.

    From the next interval on. What no register proves counts up to this power.
    """
    from tools import calls

    call = calls.limit_connection(session.resolve(member), max_power_w)
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, f"{member} carries at most {max_power_w} W", final)


@meter_command.command("submit")
@_interval
@click.option("--injected", type=ENERGY, required=True, help="Register of injection: 12.5kWh.")
@click.option("--withdrawn", type=ENERGY, required=True, help="Register of withdrawal: 700kWh.")
@from_option
@json_option
@pass_session
def submit(
    session: Session, interval: int, injected: int, withdrawn: int, signer: str | None
) -> None:
    """Submit a meter's registers as they stood at the end of INTERVAL; its own key signs."""
    from tools import calls

    call = calls.submit_registers(interval, [(injected, withdrawn)])
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, f"registers of interval {interval} submitted", final)


@meter_command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--member", required=True, help="The member whose connection the meter measures.")
@from_option
@json_option
@pass_session
def import_file(session: Session, file: Path, member: str, signer: str | None) -> None:
    """Submit the readings of FILE by the meter's own key.

    FILE has cumulative registers under their OBIS codes (1-0:1.8.0*255 withdrawn, 1-0:2.8.0*255
    injected), as a readout or a table, or energies of intervals as Green Button XML. What the
    chain knows already is passed over.
    """
    from tools import calls
    from tools.meter_import import batches_of_file

    opened = session.open_signer(signer)
    batches, passed = batches_of_file(file.read_bytes(), _known(session, opened, member))
    sent: list[dict[str, object]] = []
    for batch in batches:
        call = calls.submit_registers(batch.first_interval, batch.registers)
        final = session.send(opened, [call])
        count = len(batch.registers)
        sent.append({"id": final.id, "first_interval": batch.first_interval, "readings": count})
        if not session.as_json:
            note(f"{count} readings from interval {batch.first_interval} on submitted")
    if session.as_json:
        print_json({"submitted": sent, "known": passed})
        return
    total = sum(len(batch.registers) for batch in batches)
    print_lines(f"{total} readings submitted, {passed} were known or before the meter's time")


@meter_command.command("readings")
@click.argument("member", required=False)
@click.option("--first", type=click.IntRange(0, _MAX_INTERVAL), help="The first interval.")
@click.option("--limit", type=click.IntRange(1, 1000), default=96, show_default=True)
@from_option
@json_option
@pass_session
def readings(
    session: Session, member: str | None, first: int | None, limit: int, signer: str | None
) -> None:
    """Show the energies of MEMBER's connection, or without one those of all together.

    A single member's are shown to itself, its meter, whom it allowed, the DSO and auditors: the
    request is signed by the key of --from.
    """
    client = session.client()
    if member is None:
        answer = client.get("/readings", limit=limit)
        title, field = "All connections", "intervals"
        columns = [*_ENERGIES, (">connections", ("connections",), as_text)]
    else:
        client.sign_as(session.open_signer(signer))
        answer = client.get(f"/readings/{_address(session, member)}", first=first, limit=limit)
        title, field = member, "readings"
        columns = [*_ENERGIES, ("quality", ("quality",), as_text)]
    if session.as_json:
        print_json(answer)
        return
    listed = answer.get(field)
    print_records(title, listed if isinstance(listed, list) else [], columns)


@meter_command.command("allow")
@click.argument("reader")
@from_option
@json_option
@pass_session
def allow(session: Session, reader: str, signer: str | None) -> None:
    """Let READER, a member or a contract, read the energies of your connection."""
    from tools import calls

    call = calls.allow_reader(session.resolve(reader))
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, f"{reader} may read", final)


@meter_command.command("forbid")
@click.argument("reader")
@from_option
@json_option
@pass_session
def forbid(session: Session, reader: str, signer: str | None) -> None:
    """End what `allow` began."""
    from tools import calls

    call = calls.forbid_reader(session.resolve(reader))
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, f"{reader} may read no more", final)


def _known(session: Session, meter: Signer, member: str) -> Known:
    """Return where the registers of a member's meter stand on the chain."""
    from tools.client import integer_field, object_field
    from tools.meter_import import Known
    from vm.primitives.address import encode_address

    client = session.client()
    client.sign_as(meter)
    terms = object_field(client.get("/readings", limit=1), "terms")
    answer = client.get(f"/readings/{_address(session, member)}", limit=1)
    connection = answer.get("connection")
    if not isinstance(connection, dict) or connection.get("meter") != encode_address(meter.account):
        raise ToolError(
            f"this key is not the meter of {member}",
            code="wrong_meter",
            hint="Name the meter's key with --from; the DSO registers meters.",
        )
    minutes = integer_field(terms, "interval_minutes")
    return Known(
        minutes * integer_field(terms, "minute_ms"),
        minutes,
        integer_field(connection, "latest"),
        (
            integer_field(connection, "latest_injected_milli_wh"),
            integer_field(connection, "latest_withdrawn_milli_wh"),
        ),
        integer_field(connection, "rollover_milli_wh"),
    )


def _address(session: Session, who: str) -> str:
    from vm.primitives.address import encode_address

    return encode_address(session.account_of(who))
