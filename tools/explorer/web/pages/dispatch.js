// Dispatch: rounds with what was submitted and proved; of one round prices, dispatch and flows by hour.

import { get } from "../core/api.js";
import { lineChart } from "../core/chart.js";
import { add, h, refill } from "../core/dom.js";
import { drawn, integer, money, power, price, short, time } from "../core/format.js";
import { accountLink, factList, field, mark, section } from "../core/parts.js";
import { table } from "../core/table.js";
import { locale, t } from "../core/text.js";

const PAGE = 50;
const KINDS = { proved: "good", open: "warn", clearing: "warn", fallen_back: "bad" };
// Nodal prices are integers of 1e-24 $/Wh.
const PER_KWH = 10n ** 21n;

/** A nodal price in micro-tokens per kWh, rounded to the nearest. */
export function nodalPrice(lambda, microPerDollar) {
  const scaled = 2n * BigInt(lambda) * BigInt(microPerDollar) + PER_KWH;
  const halved = scaled / (2n * PER_KWH);
  return scaled < 0n && scaled % (2n * PER_KWH) !== 0n ? halved - 1n : halved;
}

export async function render(stage, [number], context) {
  return number ? one(stage, number) : list(stage, context);
}

async function list(stage, context) {
  const place = h("div", {});
  const { areas } = await get("/dispatch/areas");
  const before = context.query.get("before");
  const draw = async () => {
    const page = await get("/dispatch/rounds", { limit: PAGE, before });
    refill(place, roundTable(page.rounds), page.next !== null && h("p", { class: "pager" },
      h("a", { class: "button quiet", href: `/dispatch?before=${page.next}` }, t("older"))));
  };
  add(stage, h("h1", {}, t("nav_dispatch")), areas.map(areaFacts), section(t("rounds"), place));
  await draw();
  context.listen((message) => {
    if (message.type === "block" || message.type === "mended") draw().catch(() => {});
  });
  return t("nav_dispatch");
}

function areaFacts(area) {
  return section(t("area_title", { name: area.name }), factList([
    [t("market"), area.market ? h("a", { href: `/market/${area.market}` }, area.market) : "–"],
    [t("reward"), money(area.reward_micro)],
    [t("pot"), money(area.pot_micro)],
    [t("bond"), money(area.bond_micro)],
    [t("congestion_account"), money(area.congestion_micro)],
    [t("fallback"), t(`fallback_${area.fallback}`)],
    [t("settles"), area.settles ? t("yes") : t("no")],
    [t("units"), area.units.map((unit) => `${unit.name} (${t(`unit_${unit.kind}`)}, ${unit.bus})`).join("; ") || "–"],
  ]));
}

function roundTable(rounds) {
  return table({
    caption: t("rounds_caption"),
    file: "dispatch-rounds",
    rows: rounds,
    columns: [
      { title: t("round"), cell: (row) => h("a", { href: `/dispatch/${row.number}` }, row.number), plain: (row) => row.number },
      { title: t("area"), cell: (row) => row.area },
      { title: t("state"), cell: (row) => status(row), plain: (row) => row.status },
      { title: t("opened"), cell: (row) => time(row.opened_ms), plain: (row) => new Date(Number(row.opened_ms)).toISOString() },
      { title: t("submitter"), cell: (row) => accountLink(row.submitter, row.submitter_name), plain: (row) => row.submitter_name ?? row.submitter ?? "" },
      { title: t("refused_submissions"), number: true, cell: (row) => integer(row.refused), plain: (row) => row.refused },
      { title: t("gap"), number: true, cell: (row) => gap(row) },
    ],
  });
}

const status = (round) => mark(t(`round_${round.status}`), KINDS[round.status]);

/** The proved distance from the optimum as a share of turnover, for people. */
function gap(round) {
  if (round.gap_twice === null || round.turnover_twice === null || BigInt(round.turnover_twice) === 0n) return "–";
  const share = Number(BigInt(round.gap_twice)) / Number(BigInt(round.turnover_twice));
  return share === 0 ? integer(0) : new Intl.NumberFormat(locale(), { notation: "scientific", maximumSignificantDigits: 2 }).format(share);
}

async function one(stage, number) {
  const { areas } = await get("/dispatch/areas");
  const { round, problem, results } = await get(`/dispatch/rounds/${number}`);
  const area = areas.find((each) => each.name === round.area);
  const microPerDollar = area?.micro_per_dollar ?? 1_000_000;
  const place = h("div", {});
  add(stage, h("h1", {}, t("round_title", { number: round.number, area: round.area })), factList([
    [t("state"), status(round)],
    [t("opened"), time(round.opened_ms)],
    [t("deadline"), time(round.deadline_ms)],
    [t("submitter"), accountLink(round.submitter, round.submitter_name)],
    [t("reward"), money(round.reward_micro)],
    [t("refused_submissions"), integer(round.refused)],
    [t("gap"), gap(round)],
    [t("problem_hash"), h("code", { title: round.problem_hash }, short(round.problem_hash))],
    round.root && [t("result_root"), h("code", {}, round.root)],
  ]));
  if (results.length === 0) {
    add(stage, h("p", { class: "empty" }, t("no_result_yet")));
    return t("round_title", { number: round.number, area: round.area });
  }
  const choose = (event) => refill(place, hourTables(problem, results[Number(event.target.value) - 1], microPerDollar));
  add(stage, area?.market && h("p", {}, h("a", { class: "button", href: `/grid/${area.market}?source=${round.number}` }, t("see_in_grid"))), await priceChart(results, microPerDollar),
    results.length > 1 && field({ name: "hour", title: t("hour"), type: "range", min: 1, max: results.length, value: 1, oninput: choose }), place);
  refill(place, hourTables(problem, results[0], microPerDollar));
  return t("round_title", { number: round.number, area: round.area });
}

function priceChart(results, microPerDollar) {
  const prices = results.map((result) => Object.values(result.lambda).map((value) => nodalPrice(value, microPerDollar)));
  const pick = (choose) => prices.map((all, at) => [at + 1, drawn(all.reduce(choose))]);
  return lineChart({
    title: t("nodal_prices"), x: "number", xTitle: t("hour"), yTitle: t("tokens_per_kwh"), fromZero: false,
    series: [
      { name: t("highest"), points: pick((left, right) => (left > right ? left : right)) },
      { name: t("lowest"), points: pick((left, right) => (left < right ? left : right)) },
    ],
  });
}

function hourTables(problem, result, microPerDollar) {
  const rows = (figures) => Object.entries(figures).map(([name, value]) => ({ name, value }));
  const between = Object.fromEntries(problem.lines.map((line) => [`${line.from}-${line.to}`, line]));
  return [
    section(t("nodal_prices"), table({
      caption: t("nodal_prices_caption"), file: "prices", rows: rows(result.lambda), columns: [
        { title: t("bus"), cell: (row) => row.name },
        { title: t("price_per_kwh"), number: true, cell: (row) => price(nodalPrice(row.value, microPerDollar)), plain: (row) => nodalPrice(row.value, microPerDollar) },
      ],
    })),
    section(t("dispatch_of_units"), table({
      caption: t("dispatch_caption"), file: "dispatch", rows: rows(result.p_w), columns: [
        { title: t("unit"), cell: (row) => row.name },
        { title: t("power_of_unit"), number: true, cell: (row) => power(row.value), plain: (row) => row.value },
      ],
    })),
    section(t("flows"), table({
      caption: t("flows_caption"), file: "flows", rows: rows(result.flow_w), columns: [
        { title: t("line"), cell: (row) => between[row.name]?.name ?? row.name },
        { title: t("from_to"), cell: (row) => row.name.replace("-", " – "), plain: (row) => row.name },
        { title: t("flow"), number: true, cell: (row) => power(row.value), plain: (row) => row.value },
        { title: t("limit"), number: true, cell: (row) => (between[row.name]?.rating_w == null ? t("no_limit") : power(between[row.name].rating_w)), plain: (row) => between[row.name]?.rating_w ?? "" },
      ],
    })),
  ];
}
