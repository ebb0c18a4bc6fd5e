"""The tables of a code while it is compiled: types, constants, imports, in the order of use."""

from __future__ import annotations

from vm.contract.value_types import INT, SIMPLE, ValueType
from vm.contract.wire import int_out
from vm.primitives.codec import Value

ImportForm = tuple[str, str, tuple[int, ...], int, bool]


class CodeTables:
    """Numbers what instructions refer to; the same source numbers the same way everywhere."""

    def __init__(self) -> None:
        self._types: dict[ValueType, int] = {kind: number for number, kind in enumerate(SIMPLE)}
        self._constants: dict[tuple[int, Value], int] = {}
        self._imports: dict[ImportForm, int] = {}

    def type_number(self, kind: ValueType) -> int:
        """Return the number of a type, after those of its parts."""
        found = self._types.get(kind)
        if found is None:
            for item in kind.items:
                self.type_number(item)
            found = self._types[kind] = len(self._types)
        return found

    def constant_number(self, kind: ValueType, value: int | bytes | str) -> int:
        """Return the number of a constant."""
        number = self.type_number(kind)
        form: Value = int_out(value) if kind == INT else value
        return self._constants.setdefault((number, form), len(self._constants))

    def import_number(
        self,
        interface: str,
        method: str,
        parameters: tuple[ValueType, ...],
        result: ValueType,
        *,
        is_view: bool,
    ) -> int:
        """Return the number of an import."""
        numbers = tuple([self.type_number(kind) for kind in parameters])
        form = (interface, method, numbers, self.type_number(result), is_view)
        return self._imports.setdefault(form, len(self._imports))

    @property
    def types(self) -> tuple[ValueType, ...]:
        """All types, by number."""
        return tuple(self._types)

    @property
    def constants(self) -> tuple[tuple[int, Value], ...]:
        """All constants, by number."""
        return tuple(self._constants)

    @property
    def imports(self) -> tuple[ImportForm, ...]:
        """All imports, by number."""
        return tuple(self._imports)
