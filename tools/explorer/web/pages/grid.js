// Grid: the feeder drawn from its graph, lines by how full they are, buses by their nodal price;
// hour by hour as dispatch proved it, or as the market's trades use it.

import { get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { redrawOn } from "../core/form.js";
import { energy, integer, power, price, time } from "../core/format.js";
import { accountLink, field, problem, section } from "../core/parts.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { nodalPrice } from "./dispatch.js";
import { feeder } from "./feeder.js";
import { chooseMarket, intervalWords, marketLinks } from "./market.js";

const HOURS_AROUND = 12;
const ROUNDS = 50;
const TRADES = "trades";

export async function render(stage, [name], context) {
  const { markets, market: named } = await chooseMarket(name);
  const market = named.lines > 0 || name ? named : markets.find((one) => one.lines > 0) ?? named;
  const title = t("grid_title", { market: market.name });
  add(stage, h("h1", {}, title), marketLinks(markets.filter((one) => one.lines > 0 || one === market), market, "grid"));
  if (market.lines === 0) {
    add(stage, h("p", { class: "empty" }, t("no_network")));
    return title;
  }
  const rounds = await closedRounds(market.name);
  const asked = context.query.get("source");
  const source = asked === TRADES || rounds.some((round) => String(round.number) === asked) ? asked : String(rounds[0]?.number ?? TRADES);
  add(stage, rounds.length > 0 && field({
    name: "source", title: t("grid_source"), value: source, onchange: (event) => context.go(`/grid/${market.name}?source=${event.target.value}`),
    options: [...rounds.map((round) => [String(round.number), t("grid_dispatch", { number: round.number, when: time(round.opened_ms) })]), [TRADES, t("grid_trades")]],
  }));
  if (source === TRADES) await showTrades(stage, market, context);
  else await showRound(stage, market, source);
  return title;
}

/** The dispatch rounds over a market's lines that have results, the newest first. */
async function closedRounds(name) {
  const { areas } = await get("/dispatch/areas");
  const own = areas.filter((area) => area.market === name);
  const pages = await Promise.all(own.map((area) => get("/dispatch/rounds", { area: area.name, limit: ROUNDS })));
  return pages.flatMap((page) => page.rounds).filter((round) => round.status === "proved" || round.status === "fallen_back")
    .sort((left, right) => right.number - left.number);
}

async function showTrades(stage, market, context) {
  const place = h("div", {});
  const words = h("p", { role: "status" });
  let interval = Number(market.open_interval);
  const draw = async () => {
    const found = await get(`/markets/${market.name}/lines`, { interval });
    words.textContent = intervalWords(market, interval);
    const lines = found.lines.map((line) => ({
      name: line.name, from: line.from_bus, to: line.to_bus, share: shareOf(line.used_milli_wh, line.limit_milli_wh),
      words: `${energy(line.used_milli_wh)}${line.limit_milli_wh === null ? "" : ` / ${energy(line.limit_milli_wh)}`}`,
    }));
    refill(place, feeder(lines, null), tradeTable(market, found.lines));
  };
  const choose = (event) => {
    interval = Number(market.open_interval) + Number(event.target.value);
    draw().catch((error) => refill(place, problem(error)));
  };
  add(stage, market.interval_minutes > 0 && field({
    name: "interval", title: t("interval"), type: "range", min: -HOURS_AROUND, max: HOURS_AROUND, value: 0, oninput: choose,
  }), words, place);
  await draw();
  redrawOn(context, draw);
}

async function showRound(stage, market, number) {
  const [{ round, problem: given, results }, { areas }, { lines }] = await Promise.all([
    get(`/dispatch/rounds/${number}`), get("/dispatch/areas"), get(`/markets/${market.name}/lines`),
  ]);
  const microPerDollar = areas.find((area) => area.name === round.area).micro_per_dollar;
  const place = h("div", {});
  const words = h("output", { for: "field-hour" });
  const start = busiestHour(round, given, results);
  const draw = (hour) => {
    const result = results[hour];
    words.textContent = hourWords(round, given, hour);
    const prices = new Map(Object.entries(result.lambda).map(([bus, value]) => [bus, nodalPrice(value, microPerDollar)]));
    const rows = given.lines.map((line) => ({ ...line, flow: result.flow_w[`${line.from}-${line.to}`] ?? null }));
    refill(place, feeder(rows.map((line) => ({
      name: line.name, from: line.from, to: line.to, share: line.flow === null ? null : shareOf(line.flow, line.rating_w),
      words: line.flow === null ? "–" : `${power(line.flow)}${line.rating_w === null ? "" : ` / ${power(line.rating_w)}`}`,
    })), prices), h("div", { class: "columns" }, priceTable(prices, given, result), flowTable(rows, lines)));
  };
  add(stage, h("p", {}, h("a", { href: `/dispatch/${round.number}` }, t("round_title", { number: round.number, area: round.area })), " · ", t(`round_${round.status}`)),
    results.length > 1 && field({ name: "hour", title: t("hour"), type: "range", min: 1, max: results.length, value: start + 1, oninput: (event) => draw(Number(event.target.value) - 1) }),
    h("p", { class: "now" }, words), place);
  draw(start);
}

/** The hour that it is now, if the round has it; else the one in which a line is fullest. */
function busiestHour(round, given, results) {
  const now = Math.floor(Date.now() / (given.interval_minutes * 60_000)) - Number(round.first_interval);
  if (Number(round.first_interval) > 0 && now >= 0 && now < results.length) return now;
  const spread = (result) => {
    const prices = Object.values(result.lambda).map(Number);
    return Math.max(...prices) - Math.min(...prices);
  };
  const marked = results.map((result, hour) => [Math.max(0, ...given.lines.map((line) => shareOf(result.flow_w[`${line.from}-${line.to}`] ?? 0, line.rating_w))), spread(result), -hour]);
  const [[, , most]] = marked.sort((left, right) => right[0] - left[0] || right[1] - left[1] || right[2] - left[2]);
  return -most;
}

function hourWords(round, given, hour) {
  const of = t("hour_of", { hour: integer(hour + 1), count: integer(round.intervals) });
  const first = Number(round.first_interval);
  return first === 0 ? of : `${of}: ${time((first + hour) * given.interval_minutes * 60_000)}`;
}

function shareOf(used, limit) {
  const amount = Math.abs(Number(used));
  return limit === null || Number(limit) === 0 ? 0 : amount / Number(limit);
}

function priceTable(prices, given, result) {
  const at = (bus) => given.units.filter((unit) => unit.bus === bus).map((unit) => `${unit.name} ${result.p_w[unit.name] === undefined ? "" : power(result.p_w[unit.name])}`).join(", ");
  return section(t("nodal_prices"), table({
    caption: t("bus_prices_caption"), file: "nodal-prices", rows: [...prices].map(([bus, value]) => ({ bus, value })),
    columns: [
      { title: t("bus"), cell: (row) => row.bus },
      { title: t("price_per_kwh"), number: true, cell: (row) => price(row.value), plain: (row) => row.value },
      { title: t("units"), cell: (row) => at(row.bus) || "–" },
    ],
  }));
}

function flowTable(rows, known) {
  const owners = new Map(known.map((line) => [line.name, line]));
  return section(t("lines"), table({
    caption: t("flows_caption"), file: "flows", rows,
    columns: [
      { title: t("line"), cell: (row) => row.name },
      { title: t("from_to"), cell: (row) => `${row.from} – ${row.to}` },
      { title: t("flow"), number: true, cell: (row) => (row.flow === null ? "–" : power(row.flow)), plain: (row) => row.flow ?? "" },
      { title: t("rating"), number: true, cell: (row) => (row.rating_w === null ? t("no_limit") : power(row.rating_w)), plain: (row) => row.rating_w ?? "" },
      { title: t("owner"), cell: (row) => accountLink(owners.get(row.name)?.owner, owners.get(row.name)?.owner_name), plain: (row) => owners.get(row.name)?.owner_name ?? "" },
    ],
  }));
}

function tradeTable(market, lines) {
  return section(t("lines"), table({
    caption: t("lines_caption"),
    file: `lines-${market.name}`,
    rows: lines,
    columns: [
      { title: t("line"), cell: (row) => row.name },
      { title: t("from_to"), cell: (row) => `${row.from_bus} – ${row.to_bus}` },
      { title: t("rating"), number: true, cell: (row) => (row.rating_w === null ? t("no_limit") : power(row.rating_w)), plain: (row) => row.rating_w ?? "" },
      { title: t("flow"), number: true, cell: (row) => energy(row.flow_milli_wh), plain: (row) => row.flow_milli_wh },
      { title: t("limit"), number: true, cell: (row) => (row.limit_milli_wh === null ? t("no_limit") : energy(row.limit_milli_wh)), plain: (row) => row.limit_milli_wh ?? "" },
      { title: t("owner"), cell: (row) => accountLink(row.owner, row.owner_name), plain: (row) => row.owner_name ?? "" },
    ],
  }));
}
