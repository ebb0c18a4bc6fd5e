"""`bitenergy market day`: a market day shown interval by interval, with its totals and its plot."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tools.agents.day_plot import draw_day
from tools.agents.day_report import IntervalFigures, full_lines
from tools.agents.market_day import DayOptions, DayResult, play_day
from tools.amounts import format_tokens
from tools.demo_network import VALIDATORS
from tools.errors import EXIT_FAILED, EXIT_OK
from tools.output import note, print_fields, print_json, print_lines, print_table

MILLI_WH_PER_KWH: Final = 1_000_000
MICRO_PER_TOKEN: Final = 1_000_000
SAFE_MECHANISMS: Final = ("uniform", "huang")
"""In these nobody may pay more than at the tariffs; the others are held to it as well."""


def run_day(options: DayOptions, *, leave: bool, plot: str | None, as_json: bool) -> int:
    """Play a day and print it; return 0 only if it ended as it has to."""
    result = play_day(options, keep=not leave, quiet=as_json)
    findings = check_day(result)
    if plot is not None:
        Path(plot).write_text(draw_day(result), encoding="utf-8")
        note(f"drawn: {plot}")
    if as_json:
        print_json(_as_json(options, result, findings))
    else:
        _print(options, result, findings)
    return EXIT_FAILED if findings else EXIT_OK


def check_day(result: DayResult) -> list[str]:
    """Return what did not end as it has to, in words; empty if all did."""
    # First, as much of the rest may follow from them.
    findings = [f"{count} transactions failed: {code}" for code, count in result.failures.items()]
    roots = [validator["state_root"] for validator in result.validators]
    if len(roots) != VALIDATORS or any(root != roots[0] for root in roots):
        findings.append("the validators have different states")
    if result.money_before_micro != result.money_after_micro:
        gone = result.money_before_micro - result.money_after_micro
        findings.append(f"money is not conserved: {format_tokens(abs(gone))} tokens")
    intervals = list(result.record.intervals.values())
    for figures in intervals:
        net = figures.withdrawn_milli_wh - figures.injected_milli_wh
        if net != figures.from_upstream_milli_wh - figures.to_upstream_milli_wh:
            findings.append(f"energy is not conserved at {figures.local_time}")
    measured = sum([member.injected_milli_wh for member in result.members])
    if not measured == sum([each.injected_milli_wh for each in intervals]) == result.ecoin_milli_wh:
        findings.append("energy tokens are not what meters read")
    findings += [
        f"{member.name} pays {format_tokens(-member.saved_micro)} tokens more than at the tariffs, "
        f"of which {format_tokens(member.departure_micro)} may be for what it did not keep to"
        for member in result.members
        if member.saved_micro + member.departure_micro < 0
    ]
    findings += [
        f"{plant.name} was issued {plant.issued} certificates, not {plant.least} to {plant.most}"
        for plant in result.plants
        if not plant.least <= plant.issued <= plant.most
    ]
    issued = sum([plant.issued for plant in result.plants])
    if issued != sum([each.certificates for each in intervals]):
        findings.append("the certificates of plants are not those that were told of")
    findings += [
        f"coins of {each.coin_members} members were settled at {each.local_time}"
        for each in intervals
        if each.coin_members != len(result.members)
    ]
    return findings


def _as_json(options: DayOptions, result: DayResult, findings: list[str]) -> dict[str, object]:
    return {
        "ok": not findings,
        "findings": findings,
        "mechanism": options.mechanism,
        "profile": options.profile,
        "strategy": options.strategy,
        "seed": options.seed,
        "totals": _totals(result),
        "intervals": [_interval_json(each, result) for each in result.record.intervals.values()],
        "members": [
            {
                "name": member.name,
                "strategy": member.strategy,
                "withdrawn_milli_wh": member.withdrawn_milli_wh,
                "injected_milli_wh": member.injected_milli_wh,
                "bill_micro": member.bill_micro,
                "tariff_bill_micro": member.tariff_bill_micro,
                "saved_micro": member.saved_micro,
                "gain_micro": member.gain_micro,
                "coins_micro": member.coins_micro,
            }
            for member in result.members
        ],
        "validators": list(result.validators),
    }


def _interval_json(figures: IntervalFigures, result: DayResult) -> dict[str, object]:
    return {
        "interval": figures.interval,
        "local_time": figures.local_time,
        "bids_milli_wh": figures.bids_milli_wh,
        "offers_milli_wh": figures.offers_milli_wh,
        "volume_milli_wh": figures.volume_milli_wh,
        "price_micro_per_kwh": figures.price_micro_per_kwh,
        "welfare_micro": figures.welfare_micro,
        "optimum_micro": figures.optimum_micro,
        "efficiency_percent": figures.efficiency_percent,
        "withdrawn_milli_wh": figures.withdrawn_milli_wh,
        "injected_milli_wh": figures.injected_milli_wh,
        "local_percent": figures.local_percent,
        "from_upstream_milli_wh": figures.from_upstream_milli_wh,
        "to_upstream_milli_wh": figures.to_upstream_milli_wh,
        "full_lines": full_lines(figures, result.network),
        "imbalance_milli_wh": figures.imbalance_milli_wh,
        "penalties_micro": figures.penalties_micro,
        "certificates": figures.certificates,
    }


def _totals(result: DayResult) -> dict[str, object]:
    intervals = list(result.record.intervals.values())
    welfare = sum([each.welfare_micro for each in intervals])
    optimum = sum([each.optimum_micro for each in intervals])
    withdrawn = sum([each.withdrawn_milli_wh for each in intervals])
    bought = sum([each.from_upstream_milli_wh for each in intervals])
    minutes = result.plan.intervals * result.plan.interval_minutes
    return {
        "members": len(result.members),
        "intervals": len(intervals),
        "volume_milli_wh": sum([each.volume_milli_wh for each in intervals]),
        "withdrawn_milli_wh": withdrawn,
        "injected_milli_wh": sum([each.injected_milli_wh for each in intervals]),
        "efficiency_percent": round(100 * welfare / optimum, 2) if optimum else None,
        "local_percent": round(100 * (withdrawn - bought) / withdrawn, 2) if withdrawn else None,
        "congested_intervals": sum([bool(full_lines(each, result.network)) for each in intervals]),
        "saved_micro": sum([member.saved_micro for member in result.members]),
        "worse_off": sum([member.saved_micro < 0 for member in result.members]),
        "money_conserved": result.money_before_micro == result.money_after_micro,
        "ecoin_milli_wh": result.ecoin_milli_wh,
        "penalties_micro": sum([each.penalties_micro for each in intervals]),
        "plants": len(result.plants),
        "certificates": sum([plant.issued for plant in result.plants]),
        "coins_micro": sum([member.coins_micro for member in result.members]),
        "transactions": result.transactions,
        "failures": result.failures,
        "wall_s": round(result.wall_s, 1),
        "times_real_time": round(minutes * 60 / result.wall_s, 1),
    }


def _print(options: DayOptions, result: DayResult, findings: list[str]) -> None:
    print_table(
        f"{len(result.members)} homes, {options.profile}, {options.mechanism}, "
        f"agents {options.strategy}",
        [
            "from", ">bids kWh", ">offers kWh", ">traded kWh", ">price", ">welfare", ">optimum",
            ">of it %", ">local %", "full lines", ">imbalance kWh", ">penalties",
            ">certificates",
        ],
        [_row(each, result) for each in result.record.intervals.values()],
    )  # fmt: skip
    print_table(
        "Bills in tokens, below 0 what a member gets",
        ["member", "agent", ">drew kWh", ">fed in kWh", ">bill", ">at the tariffs", ">saved"],
        [
            [
                member.name,
                member.strategy,
                _kwh(member.withdrawn_milli_wh),
                _kwh(member.injected_milli_wh),
                _tokens(member.bill_micro),
                _tokens(member.tariff_bill_micro),
                _tokens(member.saved_micro),
            ]
            for member in result.members
        ],
    )
    print_fields("The day", [(name, str(value)) for name, value in _totals(result).items()])
    for validator in result.validators:
        print_lines(
            f"{validator['name']}  height {validator['height']}  state {validator['state_root']}"
        )
    for finding in findings:
        print_lines(finding)


def _row(figures: IntervalFigures, result: DayResult) -> list[str]:
    price = figures.price_micro_per_kwh
    return [
        figures.local_time,
        _kwh(figures.bids_milli_wh),
        _kwh(figures.offers_milli_wh),
        _kwh(figures.volume_milli_wh),
        "-" if price is None else _tokens(price),
        _tokens(figures.welfare_micro),
        _tokens(figures.optimum_micro),
        _percent(figures.efficiency_percent),
        _percent(figures.local_percent),
        ", ".join(full_lines(figures, result.network)) or "-",
        _kwh(figures.imbalance_milli_wh),
        _tokens(figures.penalties_micro),
        str(figures.certificates),
    ]


def _kwh(milli_wh: int) -> str:
    return f"{milli_wh / MILLI_WH_PER_KWH:.2f}"


def _tokens(micro: int) -> str:
    return f"{micro / MICRO_PER_TOKEN:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
