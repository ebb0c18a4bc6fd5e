"""Charging for what depends on sizes: gas and memory, always before the work is done."""

from __future__ import annotations

from typing import Final

from vm.contract.failures import out_of_memory
from vm.contract.host import Meter
from vm.contract.limits import MAX_MEMORY_BYTES
from vm.primitives.errors import OutOfGas

ITEM_BYTES: Final = 80
"""Counted for an item of a list or tuple: its place, and an integer of 256 bits."""
ENTRY_BYTES: Final = 200
"""Counted for an entry of a dictionary."""
COLLECTION_GAS: Final = 40
"""Gas of passing over a list, tuple or dictionary, beside what its items cost."""
OBJECT_BYTES: Final = 64
"""Counted for a value that has a length, beside what it holds."""
LETTER_BYTES: Final = 4
"""Counted for a letter of a text."""
MEMORY_PER_GAS: Final = 32
"""Bytes that one unit of gas allocates."""


def charge(meter: Meter, gas: int) -> None:
    """Use up `gas`; raises OutOfGas."""
    used = meter.gas_used + gas
    meter.gas_used = used
    if used > meter.gas_limit:
        raise OutOfGas(meter.gas_limit)


def hold(meter: Meter, size: int) -> None:
    """Count `size` bytes whose gas is paid already; raises CallError `out_of_memory`."""
    memory = meter.memory_used + size
    meter.memory_used = memory
    if memory > MAX_MEMORY_BYTES:
        raise out_of_memory()


def allocate(meter: Meter, gas: int, size: int) -> None:
    """Use up `gas`, and what allocating `size` bytes costs; raises OutOfGas or `out_of_memory`."""
    used = meter.gas_used + gas + size // MEMORY_PER_GAS
    meter.gas_used = used
    if used > meter.gas_limit:
        raise OutOfGas(meter.gas_limit)
    memory = meter.memory_used + size
    meter.memory_used = memory
    if memory > MAX_MEMORY_BYTES:
        raise out_of_memory()
