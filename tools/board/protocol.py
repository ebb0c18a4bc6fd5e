"""One board's part in a round of a radial network, without I/O: messages and time in and out.

Curves go up the feeder, prices go down, reports go up, and the whole result goes down again, each
message between neighbours. What is lost is sent again until it is acknowledged; what comes twice
changes nothing. The problem is public, so whatever a neighbour does not say in time, or says
falsely, can be computed for it from the chain: a silent or lying board costs time and its own part
in the work, never the result. Nothing is submitted that the verifier does not accept here first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dispatch.exact_curves import Curve
from dispatch.tree_bus import (
    BusOutcome,
    BusView,
    Subtree,
    answer_all_hours,
    certificate_of,
    combine,
    meeting_bus,
    settle_bus,
    settle_subtree,
    solve_exactly,
    subtree_curves,
    tell_parent,
    views_of,
)
from market.dispatch_certificate import Certificate, StorageResult
from market.dispatch_problem import DispatchProblem
from tools.board.messages import (
    ACK,
    AUDIT,
    CURVES,
    PRICES,
    REPORT,
    RESULT,
    Message,
    curves_body,
    prices_body,
    read_curves,
    read_prices,
    read_report,
    report_body,
)
from tools.board.participant import NEVER_MS, Participant, Patience
from vm.primitives.errors import InvalidInput

CAREFUL: Final = 1
"""The second attempt, in which each board checks what its children say against the chain."""


@dataclass(slots=True)  # mutable: filled as messages come
class _Attempt:
    """What one attempt has brought so far."""

    number: int
    began_ms: int
    curves: dict[str, list[Curve]] = field(default_factory=dict)
    """Curves of the children, as told or computed for them."""
    own: list[Curve] = field(default_factory=list)
    """The curves of this bus and all behind it, once all children's are there."""
    told: list[tuple[int, int]] | None = None
    """Price and flow of each interval, as the parent told."""
    storages: Sequence[tuple[StorageResult, ...]] = ()
    """Where curves meet: what the storages there do in each interval."""
    outcomes: list[BusOutcome] = field(default_factory=list)
    settled_ms: int = 0
    sent_curves_ms: int = 0
    reports: dict[str, Subtree] = field(default_factory=dict)
    hops: int = 0
    up_hops: int = 0
    reported: bool = False
    failed: bool = False
    """True once it is known that nothing comes of it."""


class BoardRound(Participant):
    """One board in one round. Takes messages and ticks; `take_outgoing` gives what to send."""

    def __init__(
        self,
        number: int,
        problem: DispatchProblem,
        bus: str,
        now_ms: int,
        patience: Patience | None = None,
    ) -> None:
        """Begin the round `number` at `now_ms` for the board at `bus`.

        The problem is sound and radial.
        """
        self._views = views_of(problem)
        self.view: BusView = self._views[bus]
        super().__init__(number, problem, bus, self.view.parent, self.view.children, patience)
        self._began_ms = now_ms
        self._heights = _heights(self._views)
        self._intervals = problem.intervals
        # Storages at several buses meet nowhere: the slack bus computes for all, at once.
        is_apart = meeting_bus(problem) is None
        self._alone_ms = 0 if is_apart and self._turn == 0 else self._patience.alone_ms
        self._attempt = _Attempt(0, now_ms, failed=is_apart)
        self._advance(now_ms)

    # What comes in.

    def receive(self, neighbour: str, message: Message, now_ms: int) -> None:
        """Take a message of a neighbour; raises DecodeError on one that has no right form."""
        if message.round != self.number or neighbour not in self._neighbours:
            return
        if message.kind == ACK:
            self._take_ack(neighbour, message)
            return
        if message.kind == RESULT:
            self._acknowledge(neighbour, message)
            self._take_result(neighbour, message, now_ms)
            return
        if message.kind == AUDIT:
            self._acknowledge(neighbour, message)
            if neighbour != self.view.parent:
                if message.attempt == self._attempt.number:
                    self._give_up(now_ms)
            elif self._attempt.number < message.attempt == CAREFUL:
                self._begin_carefully(now_ms)
            return
        if message.attempt != self._attempt.number:
            if message.attempt < self._attempt.number:
                self._acknowledge(neighbour, message)
            return
        self._acknowledge(neighbour, message)
        if neighbour in self.substituted or self._attempt.failed:
            return
        try:
            self._take(neighbour, message)
        except ValueError:
            self._give_up(now_ms)
        self._advance(now_ms)

    def tick(self, now_ms: int) -> None:
        """Notice what has not come in time, and send again what was not acknowledged."""
        if self.result is None:
            self._substitute_late(now_ms)
            self._advance(now_ms)
            if now_ms - self._began_ms >= self._alone_ms and self.result is None:
                self._go_alone(now_ms)
        self._send_again(self._waiting, now_ms)

    # Inside.

    def _take(self, neighbour: str, message: Message) -> None:
        attempt = self._attempt
        if message.kind == PRICES and neighbour == self.view.parent:
            if attempt.told is None and attempt.own:
                attempt.told = read_prices(message.body, self._intervals)
                attempt.hops = message.hops
        elif message.kind == CURVES and neighbour in self.view.children:
            if neighbour not in attempt.curves:
                curves = read_curves(message.body, self._intervals)
                if attempt.number == CAREFUL and curves != self._true_curves(neighbour)[neighbour]:
                    self._distrust(neighbour)
                    return
                attempt.curves[neighbour] = curves
                attempt.up_hops = max(attempt.up_hops, message.hops)
        elif message.kind == REPORT and neighbour in self.view.children:
            if attempt.outcomes and neighbour not in attempt.reports:
                report = read_report(message.body, self._intervals)
                if attempt.number == CAREFUL and report != self._true_report(neighbour):
                    self._distrust(neighbour)
                    return
                attempt.reports[neighbour] = report
                attempt.hops = max(attempt.hops, message.hops)

    def _advance(self, now_ms: int) -> None:
        """Do everything that what is there allows."""
        attempt = self._attempt
        if attempt.failed:
            return
        if not attempt.own and all(child in attempt.curves for child in self.view.children):
            self._send_curves(now_ms)
        if attempt.own and not attempt.outcomes:
            if self.view.parent is None or attempt.told is not None:
                self._settle(now_ms)
        if (
            attempt.outcomes
            and not attempt.reported
            and all(child in attempt.reports for child in self.view.children)
        ):
            self._report(now_ms)

    def _send_curves(self, now_ms: int) -> None:
        attempt = self._attempt
        attempt.own = combine(self.view, attempt.curves, self._intervals)
        attempt.sent_curves_ms = now_ms
        if self.view.parent is not None:
            body = curves_body(tell_parent(self.view, attempt.own))
            self._send(self.view.parent, CURVES, attempt.up_hops + 1, body, now_ms)
        else:
            attempt.hops = attempt.up_hops

    def _settle(self, now_ms: int) -> None:
        attempt = self._attempt
        try:
            if self.view.parent is None and self._problem.storages:
                attempt.told, attempt.storages = answer_all_hours(
                    self._problem, attempt.own, attempt.number
                )
            attempt.outcomes = [
                settle_bus(
                    self.view,
                    attempt.own[interval],
                    {child: curves[interval] for child, curves in attempt.curves.items()},
                    interval,
                    None if attempt.told is None else attempt.told[interval],
                )
                for interval in range(self._intervals)
            ]
        except (ValueError, InvalidInput):
            # What we were told cannot be: somebody lied.
            attempt.told = None
            self._give_up(now_ms)
            return
        attempt.settled_ms = now_ms
        for child in self.view.children:
            if child not in self.substituted:
                body = prices_body(self._told_to(child))
                self._send(child, PRICES, attempt.hops + 1, body, now_ms)

    def _told_to(self, child: str) -> list[tuple[int, int]]:
        place = self.view.children.index(child)
        return [(each.price, each.child_flows_w[place]) for each in self._attempt.outcomes]

    def _report(self, now_ms: int) -> None:
        attempt = self._attempt
        attempt.reported = True
        whole = Subtree({self.view.bus: [each.price for each in attempt.outcomes]}, {})
        for place, (unit, _) in enumerate(self.view.units):
            whole.powers_w[unit] = [each.powers_w[place] for each in attempt.outcomes]
        for report in attempt.reports.values():
            whole.prices.update(report.prices)
            whole.powers_w.update(report.powers_w)
        if self.view.parent is not None:
            self._send(self.view.parent, REPORT, attempt.hops, report_body(whole), now_ms)
            return
        try:
            certificate = certificate_of(self._problem, whole, attempt.storages)
        except KeyError:
            certificate = Certificate(())
        if not self._hold(certificate, attempt.hops, now_ms):
            self._give_up(now_ms)

    def _go_alone(self, now_ms: int) -> None:
        """Compute the whole result from the public problem."""
        try:
            certificate = solve_exactly(self._problem)
        except InvalidInput:
            # Only with storages: no dispatch, or none in whole watts. The round falls back.
            self._alone_ms = NEVER_MS
            return
        self.alone = True
        self._hold(certificate, self._attempt.hops, now_ms)

    def _give_up(self, now_ms: int) -> None:
        """Have the slack bus begin the careful attempt, because nothing comes of this one."""
        attempt = self._attempt
        if attempt.failed or attempt.number == CAREFUL:
            return
        attempt.failed = True
        if self.view.parent is None:
            self._begin_carefully(now_ms)
        else:
            self._send(self.view.parent, AUDIT, 0, None, now_ms)

    def _begin_carefully(self, now_ms: int) -> None:
        self._attempt = _Attempt(CAREFUL, now_ms)
        self._attempt_number = CAREFUL
        self._waiting.clear()
        for child in self.view.children:
            if child in self.substituted:
                self._attempt.curves[child] = self._true_curves(child)[child]
            else:
                self._send(child, AUDIT, 0, None, now_ms)
        self._advance(now_ms)

    def _distrust(self, child: str) -> None:
        """Do a child's part for it from now on, because it lied."""
        self.distrusted.add(child)
        self.substituted.add(child)
        self._substitute(child)

    def _true_curves(self, child: str) -> dict[str, list[Curve]]:
        """Return what a child and those behind it have to say, from the public problem."""
        return subtree_curves(self._views, child, self._intervals)

    def _true_report(self, child: str) -> Subtree:
        """Return what a child has to report; raises ValueError where a lie was built on."""
        return settle_subtree(
            self._views, child, self._true_curves(child), self._told_to(child), self._intervals
        )

    def _substitute_late(self, now_ms: int) -> None:
        attempt, patience = self._attempt, self._patience
        for child in self.view.children:
            wait_ms = patience.neighbour_ms * (self._heights[child] + 1)
            if not attempt.own and child not in attempt.curves:
                if now_ms - attempt.began_ms >= wait_ms:
                    self.substituted.add(child)
                    self._waiting = {
                        key: each for key, each in self._waiting.items() if key[0] != child
                    }
            if child not in self.substituted:
                late = attempt.outcomes and now_ms - attempt.settled_ms >= wait_ms
                if late and child not in attempt.reports:
                    self.substituted.add(child)
            try:
                self._substitute(child)
            except ValueError:
                self._give_up(now_ms)

    def _substitute(self, child: str) -> None:
        """Fill in a child's part for it, as far as it is wanted now."""
        attempt = self._attempt
        if child not in self.substituted:
            return
        if child not in attempt.curves:
            attempt.curves[child] = self._true_curves(child)[child]
        if attempt.outcomes and child not in attempt.reports:
            attempt.reports[child] = self._true_report(child)


def _heights(views: Mapping[str, BusView]) -> dict[str, int]:
    """Return for each bus how many levels lie behind it."""
    order = [name for name, view in views.items() if view.parent is None]
    for name in order:
        order += views[name].children
    heights: dict[str, int] = {}
    for name in reversed(order):
        heights[name] = max((heights[child] + 1 for child in views[name].children), default=0)
    return heights
