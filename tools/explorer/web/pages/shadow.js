// What `bitenergy shadow run` found, shown beside the proposal that it tried. The shadow executes
// the whole chain again, which no browser does: the command's report is chosen as a file.

import { parse } from "../core/api.js";
import { h, refill } from "../core/dom.js";
import { energy, integer, money, price } from "../core/format.js";
import { accountLink, factList, field, problem, section } from "../core/parts.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

/** A place for the report on a proposal, with the command that makes it. */
export function comparison(number) {
  const place = h("div", { "aria-live": "polite" });
  const choose = async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    try {
      refill(place, report(parse(await file.text())));
    } catch {
      refill(place, problem(new Error(t("no_report"))));
    }
  };
  return [
    h("p", {}, t("shadow_words")),
    h("p", {}, h("code", { class: "long" }, `bitenergy shadow run --proposal ${number} --json > report.json`)),
    h("form", { class: "stack", onsubmit: (event) => event.preventDefault() },
      field({ name: "report", title: t("shadow_report"), note: t("shadow_report_note"), type: "file", accept: ".json,application/json", onchange: choose })),
    place,
  ];
}

function report(found) {
  const { live, shadow, markets, members } = found;
  return [
    factList([[t("change"), h("code", { class: "long" }, found.changes.join(" "))],
      [t("heights"), `${integer(found.from)} – ${integer(found.to)}`],
      [t("invariants"), found.broken_invariants.join("; ") || t("conserved")]]),
    pairs(t("blocks_compared"), ["blocks", "transactions", "failed", "gas"].map((name) => [t(`shadow_${name}`), integer(live[name]), integer(shadow[name])])),
    markets.map((one) => section(t("market_title", { market: one.market }), pairs(t("market_compared"), [
      ["trades", integer], ["energy_milli_wh", energy], ["mean_price_micro_per_kwh", price], ["amount_micro", money], ["penalty_micro", money],
    ].map(([name, show]) => [t(`shadow_${name}`), show(one.live[name]), show(one.shadow[name])])))),
    section(t("bills"), table({
      caption: t("bills_compared"), file: "shadow-bills", rows: members,
      columns: [
        { title: t("member"), cell: (row) => accountLink(row.address, row.name), plain: (row) => row.name },
        { title: t("really"), number: true, cell: (row) => money(row.live.bill_micro), plain: (row) => row.live.bill_micro },
        { title: t("in_the_shadow"), number: true, cell: (row) => money(row.shadow.bill_micro), plain: (row) => row.shadow.bill_micro },
        { title: t("difference"), number: true, cell: (row) => `${row.bill_change_micro > 0 ? "+" : ""}${money(row.bill_change_micro)}`, plain: (row) => row.bill_change_micro },
      ],
    })),
  ];
}

const pairs = (caption, rows) => table({
  caption, rows: rows.map(([name, live, shadow]) => ({ name, live, shadow })),
  columns: [
    { title: t("figure"), cell: (row) => row.name },
    { title: t("really"), number: true, cell: (row) => row.live },
    { title: t("in_the_shadow"), number: true, cell: (row) => row.shadow },
  ],
});
