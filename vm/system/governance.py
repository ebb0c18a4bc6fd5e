"""Governance: members propose changes of the network's rules, vote, and see them come into force.

A proposal names a change and the first height at which it holds. It is refused at once where it
could not be carried out. Votes may be changed until voting ends; then the due queue counts them, in
batches, each vote with the weight that its member has at that moment. A proposal that passed is
carried out at the end of the block before its height, so that this block's header commits to it
already and every node knows before it works on that height. What cannot be carried out any more
is void and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from vm.arguments import NAME, UINT63, Argument, ArgumentKind, integer, text
from vm.context import CallContext
from vm.module import Module, method
from vm.primitives.address import check_name
from vm.primitives.codec import Encodable, Value, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.system.account_leaf import load_account
from vm.system.changes import MAX_VERSION, carry_out
from vm.system.governance_records import (
    APPLIED,
    CHOICES,
    COUNTING,
    ENGINE,
    EXPIRED,
    FAILED,
    MODULE,
    OPEN_KEY,
    PARAMETERS,
    PASSED,
    STATUS_NAMES,
    VOID,
    VOTING,
    YES,
    Change,
    Proposal,
    decode_numbers,
    decode_proposal,
    decode_vote,
    height_key,
    proposal_key,
    vote_key,
    voter_key,
)
from vm.system.voters import (
    changed_settings,
    eligible_weight,
    load_settings,
    save_settings,
    voting_weight,
)

MAX_OPEN: Final = 64
"""Proposals that are voted on or counted at a time."""
MAX_OPEN_PER_MEMBER: Final = 4
MAX_PER_HEIGHT: Final = 8
"""Proposals that come into force at one height, so that one block carries them all out."""
MAX_CHANGE_BYTES: Final = 256
MAX_ABOUT_BYTES: Final = 96
MAX_VALUES: Final = 12
PROPOSAL_COUNTER: Final = "proposal"


def _are_values(value: Value) -> bool:
    if not isinstance(value, tuple) or not 1 <= len(value) <= MAX_VALUES:
        return False
    return _are_pairs(value)


def _are_pairs(value: tuple[Value, ...]) -> bool:
    names: list[str] = []
    for pair in value:
        match pair:
            case (str(name), None | int() | str()) if check_name(name):
                names.append(name)
            case _:
                return False
    return names == sorted(names) and len(dict.fromkeys(names)) == len(names)


VALUES = ArgumentKind(
    f"1 to {MAX_VALUES} pairs of a name and a number, text or nothing, in the order of the names",
    _are_values,
)
NUMBERS = ArgumentKind(
    f"at most {MAX_VALUES} pairs of a name and a number, in the order of the names",
    lambda value: value == () or _are_values(value),
)
SUBJECT = ArgumentKind(
    "a name, or the empty text",
    lambda value: type(value) is str and (not value or check_name(value)),
)
CHOICE = ArgumentKind(" or ".join(CHOICES), lambda value: value in CHOICES)
HEIGHT = Argument("height", UINT63)
ABOUT = Argument("about", text(MAX_ABOUT_BYTES))


class GovernanceModule(Module):
    """Proposals and votes on parameters, module versions and the engine."""

    name = "governance"

    def __init__(self, roles: Sequence[str], modules: Sequence[Module]) -> None:
        """`modules` are the others of the chain."""
        self._operator = 1 << roles.index("operator") if "operator" in roles else 0
        self._modules: dict[str, Module] = {module.name: module for module in modules}
        self._modules[self.name] = self

    @method(
        Argument("module", NAME),
        Argument("subject", SUBJECT),
        Argument("values", VALUES),
        HEIGHT,
        ABOUT,
    )
    def propose_parameters(
        self,
        ctx: CallContext,
        module: str,
        subject: str,
        values: tuple[tuple[str, Value], ...],
        height: int,
        about: str,
    ) -> Encodable:
        """Propose other parameters of a module, or of the `chain`; returns the number."""
        return self._propose(ctx, Change(PARAMETERS, module, subject, values), height, about)

    @method(Argument("module", NAME), Argument("version", integer(2, MAX_VERSION)), HEIGHT, ABOUT)
    def propose_module(
        self, ctx: CallContext, module: str, version: int, height: int, about: str
    ) -> Encodable:
        """Propose the next version of a module; returns the number."""
        change = Change(MODULE, module, "", (("version", version),))
        return self._propose(ctx, change, height, about)

    @method(Argument("engine", NAME), Argument("parameters", NUMBERS), HEIGHT, ABOUT)
    def propose_engine(
        self,
        ctx: CallContext,
        engine: str,
        parameters: tuple[tuple[str, Value], ...],
        height: int,
        about: str,
    ) -> Encodable:
        """Propose another consensus engine, or other numbers for it; returns the number."""
        return self._propose(ctx, Change(ENGINE, engine, "", parameters), height, about)

    @method(Argument("proposal", UINT63), Argument("choice", CHOICE))
    def vote(self, ctx: CallContext, proposal: int, choice: str) -> Encodable:
        """Vote, or vote anew: the last word before the end counts."""
        self._validate_voter(ctx)
        found = _load(ctx, proposal)
        if found.status != VOTING or ctx.time_ms >= found.ends_ms:
            raise CallError(
                "voting_ended", "nobody votes on this any more", actual=f"proposal {proposal}"
            )
        own = voter_key(proposal, ctx.caller)
        data = ctx.get(own)
        if data is None:
            found.votes += 1
            data = found.votes.to_bytes(8, "big")
            ctx.put(own, data)
            ctx.put(proposal_key(proposal), found.encode())
        place = int.from_bytes(data, "big")
        vote = encode_trusted((ctx.caller, CHOICES.index(choice)))
        ctx.put(vote_key(proposal, place), vote)
        ctx.emit("vote", proposal, ctx.caller, choice)
        return None

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Count votes of a proposal whose time is over, as many as the gas allows."""
        number = unpack_trusted(payload)
        if type(number) is not int:
            raise InvariantViolation(f"governance is due for something else: {payload.hex()}")
        proposal = _load(ctx, number)
        proposal.status = COUNTING
        settings = load_settings(ctx, self._operator)
        tally = list(proposal.tally)
        while proposal.counted < proposal.votes and ctx.gas_used * 2 < ctx.gas_limit:
            proposal.counted += 1
            key = vote_key(number, proposal.counted)
            account, choice = decode_vote(ctx.get(key) or b"")
            weight = voting_weight(settings, load_account(ctx, account))
            tally[choice] += weight
            proposal.supporters += choice == YES and weight > 0
            ctx.delete(key)
            ctx.delete(voter_key(number, account))
        proposal.tally = (tally[0], tally[1], tally[2])
        if proposal.counted < proposal.votes:
            ctx.put(proposal_key(number), proposal.encode())
            ctx.schedule(ctx.time_ms, payload)
            return
        self._conclude(ctx, proposal)
        _save_open(ctx, [entry for entry in _load_open(ctx) if entry[0] != number])
        ctx.put(proposal_key(number), proposal.encode())
        status = STATUS_NAMES[proposal.status]
        ctx.emit("outcome", number, status, *proposal.tally, proposal.eligible)

    def end_block(self, ctx: CallContext) -> None:
        """Carry out what holds from the next height on."""
        key = height_key(ctx.height + 1)
        data = ctx.get(key)
        if data is None:
            return
        ctx.delete(key)
        for number in decode_numbers(data):
            proposal = _load(ctx, number)
            refusal = self._try(ctx, proposal.change, keep=True)
            proposal.status = APPLIED if refusal is None else VOID
            proposal.result = "" if refusal is None else refusal.code
            ctx.put(proposal_key(number), proposal.encode())
            change = proposal.change
            if refusal is None:
                ctx.emit("apply", number, proposal.height, change.kind, change.name, change.subject)
            else:
                ctx.emit("void", number, proposal.height, refusal.code)

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set voting period, notice, quorum or threshold; who votes is settled by genesis."""
        if subject:
            raise CallError("unknown_subject", "governance has no parts", actual=subject)
        save_settings(ctx, changed_settings(load_settings(ctx, self._operator), values))

    def _propose(self, ctx: CallContext, change: Change, height: int, about: str) -> Encodable:
        self._validate_voter(ctx)
        settings = load_settings(ctx, self._operator)
        least = ctx.height + settings.notice_blocks
        if height < least:
            raise CallError(
                "too_soon",
                "members and nodes need notice of a change",
                expected=f"height {least} or later",
                actual=height,
            )
        if change.size() > MAX_CHANGE_BYTES:
            raise CallError(
                "change_too_long",
                "the change does not fit into a proposal",
                expected=f"at most {MAX_CHANGE_BYTES} bytes",
                actual=change.size(),
                hint="Make several proposals of it.",
            )
        waiting = _load_open(ctx)
        own = sum(1 for _, proposer in waiting if proposer == ctx.caller)
        if len(waiting) >= MAX_OPEN or own >= MAX_OPEN_PER_MEMBER:
            raise CallError(
                "too_many_proposals",
                "too many proposals are voted on",
                expected=f"{MAX_OPEN} in all and {MAX_OPEN_PER_MEMBER} of a member",
                actual=f"{len(waiting)} in all and {own} of the member",
                hint="Wait until voting on another one ends.",
            )
        refusal = self._try(ctx, change, keep=False)
        if refusal is not None:
            raise refusal
        number = ctx.next_number(PROPOSAL_COUNTER)
        ends_ms = ctx.time_ms + settings.voting_period_ms
        proposal = Proposal(
            number, ctx.caller, change, height, about, VOTING, ends_ms, 0, 0, (0, 0, 0), 0, 0, ""
        )
        ctx.put(proposal_key(number), proposal.encode())
        _save_open(ctx, [*waiting, (number, ctx.caller)])
        ctx.schedule(ends_ms, encode_trusted(number))
        ctx.emit("propose", number, ctx.caller, change.kind, change.name, change.subject, height)
        return number

    def _try(self, ctx: CallContext, change: Change, *, keep: bool) -> CallError | None:
        """Carry a change out, or only look whether it can be; return what stands against it."""
        mark, events, module = ctx.state.mark(), len(ctx.events), ctx.module
        refusal: CallError | None = None
        try:
            carry_out(ctx, self._modules, change)
        except CallError as error:
            refusal = error
        ctx.module = module
        if refusal is not None or not keep:
            ctx.state.undo(mark)
            del ctx.events[events:]
        return refusal

    def _conclude(self, ctx: CallContext, proposal: Proposal) -> None:
        settings = load_settings(ctx, self._operator)
        yes, no, _ = proposal.tally
        cast = sum(proposal.tally)
        proposal.eligible = eligible_weight(ctx)
        (quorum, quorum_of), (part, part_of) = settings.quorum, settings.threshold
        if not cast or cast * quorum_of < proposal.eligible * quorum:
            proposal.status, proposal.result = EXPIRED, "no_quorum"
        elif yes * part_of < (yes + no) * part or not yes:
            proposal.status, proposal.result = FAILED, "voted_down"
        elif proposal.supporters < ctx.block.parameters.operator_threshold:
            # Fewer than any change of the registry needs do not change the rules either.
            proposal.status, proposal.result = FAILED, "too_few_supporters"
        elif proposal.height < ctx.height + settings.notice_blocks:
            proposal.status, proposal.result = EXPIRED, "too_late"
        else:
            numbers = decode_numbers(ctx.get(height_key(proposal.height)))
            if len(numbers) >= MAX_PER_HEIGHT:
                proposal.status, proposal.result = EXPIRED, "height_full"
                return
            proposal.status = PASSED
            chosen = tuple(sorted((*numbers, proposal.number)))
            ctx.put(height_key(proposal.height), encode_trusted(chosen))

    def _validate_voter(self, ctx: CallContext) -> None:
        leaf = load_account(ctx, ctx.caller)
        if not voting_weight(load_settings(ctx, self._operator), leaf):
            raise CallError(
                "no_vote",
                "this member has no vote",
                hint="Genesis says which roles vote: `bitenergy governance list` shows them.",
            )


def _load(ctx: CallContext, number: int) -> Proposal:
    data = ctx.get(proposal_key(number))
    if data is None:
        raise CallError("unknown_proposal", "there is no such proposal", actual=number)
    return decode_proposal(data)


def _load_open(ctx: CallContext) -> list[tuple[int, bytes]]:
    data = ctx.get(OPEN_KEY)
    return list(unpack_trusted(data)) if data else []  # type: ignore[arg-type]


def _save_open(ctx: CallContext, entries: list[tuple[int, bytes]]) -> None:
    if entries:
        ctx.put(OPEN_KEY, encode_trusted(entries))
    else:
        ctx.delete(OPEN_KEY)
