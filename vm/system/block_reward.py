"""The block reward: money that comes into being with each block and goes to who made it."""

from __future__ import annotations

from typing import Final

from vm.context import CallContext
from vm.module import Module, Section
from vm.primitives.genesis_fields import read_object
from vm.system.accounts import change_supply, load_account, save_account

REWARD_KEY: Final = b"r"


class BlockRewardModule(Module):
    """Mints what genesis says to the maker of each block; nothing where genesis says nothing."""

    name = "reward"

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Take `block`, the tokens per block as decimal text."""
        amount_micro = read_object(section, "'reward'", ("block",)).decimal("block", default="0")
        if amount_micro:
            ctx.put(REWARD_KEY, amount_micro.to_bytes(8, "big"))

    def end_block(self, ctx: CallContext) -> None:
        """Pay the maker of the block."""
        amount_micro = int.from_bytes(ctx.get(REWARD_KEY) or b"", "big")
        if not amount_micro:
            return
        maker = ctx.block.proposer
        account = load_account(ctx, maker)
        account.earn(amount_micro)
        change_supply(ctx, money_micro=amount_micro)
        save_account(ctx, maker, account)
        ctx.emit("mint", maker, amount_micro)
