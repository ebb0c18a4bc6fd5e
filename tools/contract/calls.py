"""Calls: own functions, records, the library, other contracts, built-in interfaces."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from tools.contract.assembler import Operand
from tools.contract.declarations import names_of_module
from tools.contract.methods import Methods
from tools.contract.source_error import at
from vm.contract.code_object import FunctionKind
from vm.contract.library import LIBRARY, SCALE
from vm.contract.value_types import ADDRESS, BOOL, BYTES, INT, NONE, STR, Kind, ValueType, list_of

_INSTEAD: Final = {
    "print": "`print` is not part of the language; `emit` an event",
    "float": "there are no floats; count in millionths with `int` and the module `fixed`",
    "set": "sets are not part of the language; use a dictionary",
    "isinstance": "every value has one type, which is known",
    "pow": "write `a ** b`",
    "divmod": "write `a // b` and `a % b`",
    "range": "`range` stands only after `in` of a `for`",
    "enumerate": "`enumerate` stands only after `in` of a `for`",
    "zip": "walk over the indices: `for i in range(len(a))`",
    "map": "write a comprehension",
    "filter": "write a comprehension with `if`",
    "bytes": 'write `b"…"`, `text.encode()` or `number.to_bytes(length)`',
    "list": "write `[…]`, or `items.copy()`",
    "dict": "write `{…}`, or `entries.copy()`",
    "tuple": "write `(a, b)`",
    "bool": "write a comparison: `count != 0`",
    "round": "write `fixed.div` or `math.mul_div_half_even`",
    "getattr": "attributes are named in the source",
    "hash": "import `sha256` from `hashing`",
    "open": "a contract reaches nothing but its storage and other contracts",
    "eval": "a contract runs only what it was deployed with",
    "exec": "a contract runs only what it was deployed with",
}
_OVER_LISTS: Final = {"sum": (INT, "sum"), "any": (BOOL, "any"), "all": (BOOL, "all")}


class Calls(Methods):
    """Emits calls."""

    def call(
        self, node: ast.Call, into: Operand | None, wanted: ValueType | None
    ) -> Operand | None:
        """Emit a call; return where its value is, or None where it has none."""
        function = node.func
        if any(keyword.arg is None for keyword in node.keywords):
            raise at(node, "`**` is not part of the language; name each argument")
        if isinstance(function, ast.Name):
            return self._call_name(node, function.id, into, wanted)
        if not isinstance(function, ast.Attribute):
            raise at(node, "only functions with a name can be called")
        if isinstance(function.value, ast.Name):
            name = function.value.id
            if name in self.declared.modules:
                return self._call_module(node, name, function.attr, into)
            if name == "int" and function.attr == "from_bytes":
                return self.library(node, "from_bytes", self.arguments(node, (BYTES,)), into)
            if name in self.declared.interfaces:
                raise at(node, f"say which contract: `{name}(where).{function.attr}(…)`")
        if isinstance(function.value, ast.Call) and isinstance(function.value.func, ast.Name):
            if function.value.func.id in self.declared.interfaces:
                return self._call_contract(node, function.value, function.attr, into)
        return self.method(node, function, into)

    def _call_name(
        self, node: ast.Call, name: str, into: Operand | None, wanted: ValueType | None
    ) -> Operand | None:
        declared = self.declared
        if name in declared.functions:
            return self._call_function(node, name, into)
        if name in declared.records:
            kind = declared.records[name]
            fields = tuple(zip(kind.fields, kind.items, strict=True))
            return self.made("new_tuple", kind, self.named_arguments(node, name, fields), into)
        if name in declared.imported:
            return self._call_module(node, *declared.imported[name], into)
        if name in declared.events:
            raise at(node, f"an event is recorded by `emit({name}(…))`")
        if name in declared.interfaces:
            raise at(node, f"call one of its functions: `{name}(where).function(…)`")
        if name in ("require", "fail", "emit"):
            self._call_effect(node, name)
            return None
        found = self._call_builtin(node, name, into)
        if found is None:
            raise at(node, _INSTEAD.get(name, f"there is no function `{name}`"))
        return found

    def _call_effect(self, node: ast.Call, name: str) -> None:
        if node.keywords:
            raise at(node, f"the arguments of `{name}` have no names")
        if name == "emit":
            self._emit_event(node)
        elif name == "fail":
            (message,) = self.arguments(node, (STR,))
            self.asm.emit("fail", message.register)
        else:
            if not 1 <= len(node.args) <= 2:
                raise at(node, 'write `require(condition, "why")`')
            self.requirement(node.args[0], node.args[1] if len(node.args) == 2 else None)

    def requirement(self, condition: ast.expr, message: ast.expr | None) -> None:
        """Emit what fails unless a condition holds; the message is computed only then."""
        holds = self.asm.label()
        self.jump_if(condition, holds, sense=True)
        if message is None:
            text = self.literal((STR, f"line {condition.lineno}"))
        else:
            text = self.typed(message, STR, what="the reason")
        self.asm.emit("fail", text.register)
        self.asm.place(holds)

    def _emit_event(self, node: ast.Call) -> None:
        made = node.args[0] if len(node.args) == 1 else None
        if (
            not isinstance(made, ast.Call)
            or not isinstance(made.func, ast.Name)
            or made.func.id not in self.declared.events
        ):
            raise at(node, "`emit` takes one declared event: `emit(Paid(who, 5))`")
        name = made.func.id
        values = self.named_arguments(made, name, self.declared.events[name])
        self.note_change(node)
        registers = [operand.register for operand in values]
        self.asm.emit("emit", self.event_numbers[name], *registers)

    def _call_function(self, node: ast.Call, name: str, into: Operand | None) -> Operand | None:
        heading = self.declared.functions[name]
        if heading.kind is not FunctionKind.INTERNAL:
            raise at(
                node,
                f"`{name}` is entered from outside only; move what both need into a function "
                "without a decorator",
            )
        values = self.named_arguments(node, name, heading.parameters)
        self.calls.setdefault(name, node)
        return self._finish_call(
            "call", heading.result, into, self.function_numbers[name], *[v.register for v in values]
        )

    def _finish_call(
        self, operation: str, result: ValueType, into: Operand | None, *operands: int
    ) -> Operand | None:
        if result == NONE:
            self.asm.emit(operation, 0, *operands)
            return None
        target = self.target(into, result)
        self.asm.emit(operation, target.register, *operands)
        return target

    def _call_module(
        self, node: ast.Call, module: str, name: str, into: Operand | None
    ) -> Operand | None:
        signatures = self.declared.signatures
        names = names_of_module(module, signatures)
        if name not in names:
            raise at(node, f"`{module}` has no `{name}`; it has {', '.join(names)}")
        if module in signatures:
            found = signatures[module][name]
            values = self.named_arguments(node, f"{module}.{name}", found.parameters)
            if not found.is_view:
                self.note_change(node)
            number = self.tables.import_number(
                module,
                name,
                tuple([kind for _, kind in found.parameters]),
                found.result,
                is_view=found.is_view,
            )
            registers = [operand.register for operand in values]
            return self._finish_call("call_interface", found.result, into, number, *registers)
        if module == "block":
            self.arguments(node, ())
            result = self.target(into, INT)
            self.asm.emit(name, result.register)
            return result
        entry = next(
            (entry for entry in LIBRARY if (entry.module, entry.name) == (module, name)), None
        )
        if entry is None:
            raise at(node, f"`{module}.{name}` is a constant and cannot be called")
        return self.library(node, name, self.arguments(node, entry.parameters), into)

    def _call_contract(
        self, node: ast.Call, where: ast.Call, name: str, into: Operand | None
    ) -> Operand | None:
        interface = where.func.id  # type: ignore[attr-defined]
        functions = self.declared.interfaces[interface]
        if name not in functions:
            raise at(node, f"`{interface}` has no `{name}`; it has {', '.join(functions)}")
        (contract,) = self.arguments(where, (ADDRESS,))
        found = functions[name]
        values = self.arguments(node, found.parameters)
        if not found.is_view:
            self.note_change(node)
        number = self.tables.import_number(
            "", name, found.parameters, found.result, is_view=found.is_view
        )
        registers = [operand.register for operand in values]
        return self._finish_call(
            "call_contract", found.result, into, number, contract.register, *registers
        )

    def _call_builtin(self, node: ast.Call, name: str, into: Operand | None) -> Operand | None:
        if name in ("caller", "this"):
            self.arguments(node, ())
            result = self.target(into, ADDRESS)
            self.asm.emit("caller" if name == "caller" else "contract", result.register)
            return result
        if name == "len":
            return self._length(node, into)
        if name == "abs":
            (number,) = self.arguments(node, (INT,))
            result = self.target(into, INT)
            self.asm.emit("absolute", result.register, number.register)
            return result
        if name in ("min", "max"):
            return self._extreme(node, name, into)
        if name in _OVER_LISTS:
            kind, operation = _OVER_LISTS[name]
            (items,) = self.arguments(node, (list_of(kind),))
            result = self.target(into, kind)
            self.asm.emit(operation, result.register, items.register)
            return result
        if name in ("sorted", "reversed"):
            return self._ordered(node, name, into)
        if name == "str" and len(node.args) == 1 and not node.keywords:
            return self.text_of(node.args[0], into)
        if name == "int":
            return self.library(node, name, self.arguments(node, (STR,)), into)
        if name == "address":
            return self.library(node, name, self.arguments(node, (BYTES,)), into)
        return None

    def _length(self, node: ast.Call, into: Operand | None) -> Operand:
        source = self._only(node)
        if source.type.kind not in (Kind.LIST, Kind.DICT, Kind.BYTES, Kind.STR):
            raise at(node, f"{self.shown(source.type)} has no length")
        result = self.target(into, INT)
        self.asm.emit("length", result.register, source.register)
        return result

    def _only(self, node: ast.Call) -> Operand:
        if len(node.args) != 1 or node.keywords:
            raise at(node, "this function takes one argument")
        return self.value(node.args[0])

    def _extreme(self, node: ast.Call, name: str, into: Operand | None) -> Operand:
        if len(node.args) == 1:
            (items,) = self.arguments(node, (list_of(INT),))
            result = self.target(into, INT)
            operation = "least_of" if name == "min" else "greatest_of"
            self.asm.emit(operation, result.register, items.register)
            return result
        if len(node.args) < 2 or node.keywords:
            raise at(node, f"`{name}` takes a list of integers, or at least two integers")
        values = self.arguments(node, (INT,) * len(node.args))
        found = values[0]
        for value in values[1:]:
            result = self.asm.temporary(INT)
            operation = "least" if name == "min" else "greatest"
            self.asm.emit(operation, result.register, found.register, value.register)
            found = result
        return self.moved(found, into)

    def _ordered(self, node: ast.Call, name: str, into: Operand | None) -> Operand:
        source = self._only(node)
        if source.type.kind is not Kind.LIST:
            raise self.mismatch(node, f"what `{name}` takes", list_of(INT), source.type)
        if name == "sorted" and source.type.items[0] not in (INT, BYTES, STR):
            raise at(node, "only integers, bytes and texts can be sorted")
        result = self.target(into, source.type)
        self.asm.emit(name, result.register, source.register)
        return result

    # Arguments

    def arguments(self, node: ast.Call, kinds: Sequence[ValueType]) -> list[Operand]:
        """Emit arguments without names."""
        if len(node.args) != len(kinds) or node.keywords:
            shown = ", ".join(map(str, kinds)) or "none"
            raise at(node, f"this function takes {len(kinds)} arguments: {shown}")
        return [
            self.typed(argument, kind, what=f"argument {place}")
            for place, (argument, kind) in enumerate(zip(node.args, kinds, strict=True), 1)
        ]

    def named_arguments(
        self, node: ast.Call, name: str, parameters: Sequence[tuple[str, ValueType]]
    ) -> list[Operand]:
        """Emit arguments that may have names, in the order in which they stand."""
        names = [parameter for parameter, _ in parameters]
        kinds = dict(parameters)
        given: dict[str, ast.expr] = dict(zip(names, node.args, strict=False))
        for keyword in node.keywords:
            if keyword.arg not in kinds or keyword.arg in given:
                raise at(node, f"`{name}` takes {', '.join(names) or 'no arguments'}, each once")
            given[keyword.arg] = keyword.value
        if len(given) != len(names) or len(node.args) > len(names):
            raise at(node, f"`{name}` takes {', '.join(names) or 'no arguments'}")
        found = {
            key: self.typed(value, kinds[key], what=f"`{key}`") for key, value in given.items()
        }
        return [found[key] for key in names]

    def module_constant(self, node: ast.Attribute) -> int | None:
        """Return the constant of a module that an attribute names, or None."""
        if isinstance(node.value, ast.Name) and node.value.id in self.declared.modules:
            if (node.value.id, node.attr) == ("fixed", "SCALE"):
                return SCALE
            names = ", ".join(names_of_module(node.value.id, self.declared.signatures))
            raise at(node, f"call what `{node.value.id}` offers: {names}")
        return None
