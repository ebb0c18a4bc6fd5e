"""The interpreter: enters a function of verified code and runs its basic blocks.

A block is charged on entry, then its operators are called one after the other, then its end gives
the next block. Python calls nest only as contract calls do, which are bounded.
"""

from __future__ import annotations

from enum import Enum

from vm.contract.code_object import (
    Activation,
    Block,
    Body,
    Code,
    Function,
    FunctionKind,
    Registers,
    Runner,
)
from vm.contract.failures import too_deep
from vm.contract.host import Host
from vm.contract.limits import MAX_ARGUMENT_BYTES, MAX_CALL_DEPTH
from vm.contract.metering import allocate, charge
from vm.contract.wire import Misfit
from vm.primitives.codec import Encodable, Value, encode_trusted
from vm.primitives.errors import CallError, OutOfGas


class Door(Enum):
    """By what a function is entered."""

    CALL = (FunctionKind.EXPORT, FunctionKind.VIEW)
    """A transaction or another contract."""
    VIEW = (FunctionKind.VIEW,)
    """A reader, or a contract that asked for a view."""
    INIT = (FunctionKind.INIT,)
    """The contract's deployment."""
    UPGRADE = (FunctionKind.UPGRADE,)
    """The contract's upgrade."""


def find_function(code: Code, name: str, door: Door) -> Function:
    """Return a function that is entered by `door`; raises CallError `unknown_method`.

    The functions of INIT and UPGRADE are found whatever their name is.
    """
    if door in (Door.INIT, Door.UPGRADE):
        for function in code.functions:
            if function.kind in door.value:
                return function
    found = code.entries.get(name)
    if found is None or found.kind not in door.value:
        raise CallError("unknown_method", "the contract has no such function", actual=name[:80])
    return found


def has_door(code: Code, door: Door) -> bool:
    """Tell whether code has a function that is entered by `door`."""
    return any(function.kind in door.value for function in code.functions)


def run_function(
    code: Code,
    host: Host,
    name: str,
    arguments: tuple[Value, ...],
    door: Door = Door.CALL,
    runner: Runner | None = None,
) -> Encodable:
    """Run a function and return its result in the canonical form.

    Raises CallError, by which the caller has to undo everything that the call did; `call_depth` of
    the meter is right again only when it returns. `runner` takes the place of the usual one, to
    observe.
    """
    function = find_function(code, name, door)
    meter = host.meter
    charge(meter, function.gas)
    _validate_caller(function, host)
    values = _take_arguments(function, host, arguments)
    depth = meter.call_depth
    if depth >= MAX_CALL_DEPTH:
        raise too_deep()
    meter.call_depth = depth + 1
    activation = Activation(host, meter, runner or run_body)
    body = function.body
    if body.fresh:
        allocate(meter, 0, body.fresh_bytes)
    registers: Registers = [activation, *values, *body.rest]
    for place, make in body.fresh:
        registers[place] = make()
    result = activation.run(body, registers)
    meter.call_depth = depth
    function.gives.measure(meter, result, MAX_ARGUMENT_BYTES)
    return function.gives.copy_out(result)


def run_body(body: Body, registers: Registers) -> object:
    """Run a function whose registers are filled; raises CallError."""
    activation: Activation = registers[0]
    meter = activation.meter
    limit = meter.gas_limit
    block: Block | None = body.blocks[0]
    while block is not None:
        gas, operators, end = block
        used = meter.gas_used + gas
        meter.gas_used = used
        if used > limit:
            raise OutOfGas(limit)
        for operator in operators:
            operator(registers)
        block = end(registers)
    return registers[0]


def _validate_caller(function: Function, host: Host) -> None:
    if function.roles and not host.caller_has_role(function.roles):
        raise CallError(
            "wrong_role",
            f"{function.name} is not for this caller",
            expected=" or ".join(function.roles),
        )
    if function.only != -1:
        # Unwritten, the variable is the address of all zeros, which nobody has.
        only = host.load(bytes([function.only]))
        if only is None or only != encode_trusted(host.caller):
            raise CallError("wrong_caller", f"{function.name} is not for this caller")


def _take_arguments(function: Function, host: Host, arguments: tuple[Value, ...]) -> list[object]:
    if len(arguments) != len(function.parameters):
        raise CallError(
            "invalid_arguments",
            f"{function.name} takes {len(function.parameters)} arguments",
            expected=", ".join(name for name, _ in function.parameters) or "none",
            actual=len(arguments),
        )
    values = []
    for place, (copy_in, value) in enumerate(zip(function.takes, arguments, strict=True)):
        try:
            values.append(copy_in(host.meter, value))
        except Misfit as error:
            raise CallError(
                "invalid_arguments",
                f"argument {function.parameters[place][0]} does not fit",
                expected=error.expected,
            ) from None
    return values
