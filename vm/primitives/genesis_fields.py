"""The fields of an object in a genesis file, each read by what it is to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vm.primitives.address import check_name
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT

DECIMALS = 6
"""Digits after the point of tokens, prices and kWh."""

AccountOf = Callable[[str], bytes | None]
"""Returns the account of the member with a name, or None."""


@dataclass(frozen=True, slots=True)
class GenesisFields:
    """An object of genesis; every method raises InvalidGenesis for a field that is not so.

    A field that is missing is its default; without a default it has to be there.
    """

    found: Mapping[str, object]
    """The fields by name."""
    where: str
    """What messages call the object."""

    def integer(self, field: str, low: int, high: int, *, default: int | None = None) -> int:
        """Return a whole number from `low` to `high`."""
        value = self.found.get(field, default)
        if type(value) is not int or not low <= value <= high:
            raise self.refusal(field, "is a whole number", f"{low} to {high}")
        return value

    def one_of(self, field: str, numbers: Sequence[int], *, default: int) -> int:
        """Return one of some whole numbers."""
        value = self.found.get(field, default)
        if type(value) is not int or value not in numbers:
            raise self.refusal(field, "is a whole number", " or ".join(map(str, numbers)))
        return value

    def decimal(
        self,
        field: str,
        *,
        default: str | None = None,
        decimals: int = DECIMALS,
        most: int = MAX_AMOUNT,
    ) -> int:
        """Return decimal text in its smallest unit, from 0 to `most`."""
        return read_decimal(
            self.found.get(field, default), f"{self.where}: {field!r}", decimals=decimals, most=most
        )

    def choice(self, field: str, names: Sequence[str], *, default: str | None = None) -> int:
        """Return the place of a name among `names`."""
        value = self.found.get(field, default)
        if not isinstance(value, str) or value not in names:
            raise self.refusal(field, "names one of several", " or ".join(names))
        return names.index(value)

    def flag(self, field: str, *, default: bool = False) -> bool:
        """Return true or false."""
        value = self.found.get(field, default)
        if type(value) is not bool:
            raise self.refusal(field, "is true or false", "true or false")
        return value

    def text(self, field: str, *, default: str | None = None) -> str:
        """Return any text."""
        value = self.found.get(field, default)
        if not isinstance(value, str):
            raise self.refusal(field, "is text", "text")
        return value

    def name(self, field: str, *, default: str | None = None) -> str:
        """Return a name as members, markets and buses have them, or the default as it is."""
        value = self.found.get(field, default)
        if not isinstance(value, str) or (value != default and not check_name(value)):
            raise self.refusal(
                field, "is a name", "1 to 32 letters, digits, dots, underscores or hyphens"
            )
        return value

    def account(self, field: str, account_of: AccountOf, *, default: bytes | None = None) -> bytes:
        """Return the account of the member that is named."""
        name = self.found.get(field)
        if name is None and default is not None:
            return default
        account = account_of(name) if isinstance(name, str) else None
        if account is None:
            raise self.refusal(field, "is no member", "the name of a member")
        return account

    def entries(self, field: str, *, most: int) -> list[object]:
        """Return a list of at most `most` entries; none by default."""
        value = self.found.get(field, [])
        if not isinstance(value, list):
            raise self.refusal(field, "is a list", f"at most {most} entries")
        if len(value) > most:
            raise InvalidGenesis(
                f"{self.where}: {field!r} has too many entries", expected=most, actual=len(value)
            )
        return value

    def refusal(self, field: str, what: str, expected: object) -> InvalidGenesis:
        """Return the error that says what a field is to be, and what it is."""
        return InvalidGenesis(
            f"{self.where}: {field!r} {what}", expected=expected, actual=self.found.get(field)
        )


def read_object(entry: object, where: str, fields: Sequence[str]) -> GenesisFields:
    """Return a JSON object that has no other than these fields; raises InvalidGenesis."""
    if not isinstance(entry, Mapping):
        raise InvalidGenesis(f"{where}: not a JSON object", actual=entry)
    unknown = [field for field in entry if field not in fields]
    if unknown:
        raise InvalidGenesis(
            f"{where} has unknown fields",
            expected=", ".join(fields),
            actual=", ".join(map(str, unknown)),
        )
    return GenesisFields(entry, where)


def read_decimal(
    value: object, what: str, *, decimals: int = DECIMALS, most: int = MAX_AMOUNT
) -> int:
    """Return decimal text in its smallest unit, from 0 to `most`; raises InvalidGenesis."""
    try:
        number = parse_decimal(value, decimals) if isinstance(value, str) else -1
    except BitenergyError as error:
        raise InvalidGenesis(f"{what}: {error}") from error
    if not 0 <= number <= most:
        raise InvalidGenesis(
            f"{what} is a number as text, not below 0", expected='for example "0.1"', actual=value
        )
    return number
