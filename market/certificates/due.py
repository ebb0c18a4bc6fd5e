"""What happens to certificates by itself, and when."""

from __future__ import annotations

from typing import Final

from vm.context import CallContext
from vm.primitives.codec import encode_trusted

CREDIT: Final = 0
"""A period's readings are due: plants are credited. Period, last plant that was, how many were."""
SETTLE: Final = 1
"""A period is final: corrections are credited. Period, last plant that was, how many were."""
EXPIRE: Final = 2
"""A lot expires. Lot."""
COINS: Final = 3
"""An interval is final: coins are earned and lost. Interval, progress."""


def schedule(ctx: CallContext, due_ms: int, kind: int, *what: int) -> None:
    """Have something done from a time on."""
    ctx.schedule(due_ms, encode_trusted((kind, *what)))
