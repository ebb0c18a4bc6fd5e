// Day markets: the intervals of a day with their gates, what was cleared and at which prices, what
// was settled, how full lines were, and one's own orders.

import { all, get } from "../core/api.js";
import { lineChart } from "../core/chart.js";
import { add, h, refill } from "../core/dom.js";
import { redrawOn } from "../core/form.js";
import { drawn, energy, integer, money, percent, price } from "../core/format.js";
import { accountLink, factList, field, moment, section } from "../core/parts.js";
import { walletNotice } from "../core/send.js";
import { getWhole } from "../core/signed.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { halfPrice } from "./auctions.js";
import { isOpen, orderForm, orderWords, ownForms } from "./day_orders.js";
import { begins, CLOCK_END, congestion, dayRows, localShare, settledRows } from "./day_rows.js";

const DAY_MS = 86_400_000;
// The figures of a day change slowly.
const REDRAW_MS = 5_000;
const DATE_LETTERS = 10;

export async function render(stage, [name], context) {
  const { markets } = await get("/day-markets");
  if (markets.length === 0) {
    add(stage, h("h1", {}, t("nav_days")), h("p", { class: "empty" }, t("no_day_markets")));
    return t("nav_days");
  }
  const market = markets.find((one) => one.name === name) ?? markets[0];
  const asked = context.query.get("day");
  const day = /^\d{4}-\d{2}-\d{2}$/.test(asked ?? "") ? asked : market.day;
  const title = t("day_title", { name: market.name, day });
  const [intervals, own, forms, settled, lines] = Array.from({ length: 5 }, () => h("div", {}));
  const asking = market.feeder ? get(`/markets/${market.feeder}/lines`) : { lines: [] };
  const draw = async () => {
    const [{ lines: ratings }, listed, clearings] = await Promise.all([
      asking,
      getWhole(`/day-markets/${market.name}/intervals`, { day, limit: 200, member: current()?.address }, isWithheld),
      all(`/day-markets/${market.name}/clearings`, "clearings", { day, limit: 1_000 }, { cursor: "before" }),
    ]);
    const rows = dayRows(market, listed.intervals, clearings);
    await Promise.all([drawIntervals(intervals, market, rows, context.query.has("all")), drawSettled(settled, rows), drawLines(lines, market, rows, ratings)]);
    if (current()) refill(own, ownTable(rows));
    return rows;
  };
  // Not with every block: it would take a dialog away that is open in one of the forms.
  const drawForms = async () => {
    const found = await draw();
    if (current()) await ownForms(forms, market, found, context, drawForms);
    return found;
  };
  const rows = await drawForms();
  add(stage, h("h1", {}, title),
    markets.length > 1 && h("p", { class: "row tabs" }, markets.map((one) => h("a", { class: "button quiet", href: `/days/${one.name}`, "aria-current": one.name === market.name ? "page" : null }, one.name))),
    dayChooser(market, day, context), section(t("day_intervals"), intervals),
    section(t("your_orders"), walletNotice(), own, forms, current() && orderForm(market, rows, drawForms)),
    section(t("settlement"), settled), market.feeder && section(t("congestion"), lines), section(t("terms"), terms(market)));
  redrawOn(context, draw, REDRAW_MS);
  return title;
}

const isWithheld = ({ intervals }) => intervals.some((row) => row.settlements.some((part) => part.withdrawn_milli_wh === null));

function dayChooser(market, day, context) {
  const address = (chosen) => `/days/${market.name}?day=${chosen}`;
  const shifted = (days) => new Date(Date.parse(`${day}T00:00Z`) + days * DAY_MS).toISOString().slice(0, DATE_LETTERS);
  const choose = (event) => {
    event.preventDefault();
    context.go(address(new FormData(event.target).get("day")));
  };
  return h("form", { class: "row", onsubmit: choose, "aria-label": t("choose_day") },
    field({ name: "day", title: t("day"), type: "date", required: true, value: day }),
    h("button", { type: "submit", class: "quiet" }, t("show")),
    h("a", { class: "button quiet", href: address(shifted(-1)) }, t("day_before")),
    h("a", { class: "button quiet", href: address(shifted(1)) }, t("day_after")));
}

function terms(market) {
  return [factList([
    [t("now_delivered"), `${market.day}, ${t("interval_number", { number: integer(market.interval) })}`],
    [t("market_account"), accountLink(market.account, market.account_name)],
    [t("upstream_supplier"), accountLink(market.upstream, market.upstream_name)],
    [t("tariffs"), t("tariff_words", { retail: price(market.retail_micro_per_kwh), feed_in: price(market.feed_in_micro_per_kwh), penalty: price(market.penalty_micro_per_kwh) })],
    market.feeder && [t("feeder"), h("a", { href: `/grid/${market.feeder}` }, market.feeder)],
  ]), gateTable(market)];
}

const clock = (minute) => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;

const gateTable = (market) => table({
  caption: t("gates_caption"), file: `gates-${market.name}`, rows: market.gates,
  columns: [
    { title: t("gate_kind"), cell: (row) => t(`gate_${row.kind}`), plain: (row) => row.kind },
    { title: t("gate_open"), cell: (row) => gateWords(row) },
    { title: t("mechanism"), cell: (row) => t(`mechanism_${row.mechanism}`), plain: (row) => row.mechanism },
    { title: t("orders"), cell: (row) => (row.sealed ? t("orders_sealed", { minutes: integer(row.opening_minutes), deposit: money(row.deposit_micro) }) : t("orders_open")), plain: (row) => (row.sealed ? "sealed" : "open") },
  ],
});

const gateWords = (gate) => (gate.kind === "day_ahead"
  ? t("gate_day_before", { opens: clock(gate.opens_minute), closes: clock(gate.closes_minute) })
  : t("gate_minutes_before", { minutes: integer(gate.closes_minute) }));

const beginning = (rows) => ({ title: t("delivery_begins"), cell: (row) => begins(row, rows), plain: (row) => row.local_start });

/** Where an interval stands on the axis of a chart: at what clocks in the market's place show. */
const at = (row) => new Date(row.local_start.slice(0, CLOCK_END)).getTime();

async function drawIntervals(place, market, rows, everything) {
  const shown = everything ? rows : rows.filter((row) => Number(row.orders) > 0 || row.cleared.length > 0 || isOpen(row));
  const prices = market.gates.map((gate, number) => ({
    name: `${number + 1}: ${t(`gate_${gate.kind}`)}`,
    points: rows.filter((row) => row.prices[number] !== null).map((row) => [at(row), drawn(row.prices[number]) / 2]),
  }));
  const known = rows.filter((row) => row.settled !== null);
  const volumes = [
    { name: t("traded"), step: "step-after", points: rows.filter((row) => row.cleared.length > 0).map((row) => [at(row), drawn(row.traded_milli_wh)]) },
    ...["withdrawn", "injected"].map((kind) => ({ name: t(kind), step: "step-after", points: known.map((row) => [at(row), drawn(row.settled[`${kind}_milli_wh`])]) })),
  ];
  refill(place,
    prices.some((one) => one.points.length > 1) && await lineChart({ title: t("clearing_prices"), yTitle: t("tokens_per_kwh"), fromZero: false, series: prices }),
    volumes.some((one) => one.points.length > 1) && await lineChart({ title: t("volume"), yTitle: "kWh", series: volumes }),
    table({
      caption: t("day_caption"), file: `day-${market.name}-${rows[0]?.day}`, rows: shown, empty: t("quiet_day"),
      columns: [
        beginning(rows),
        { title: t("next_gate"), cell: (row) => nextGate(row, "words"), plain: (row) => nextGate(row, "plain") },
        { title: t("orders"), number: true, cell: (row) => integer(row.orders), plain: (row) => row.orders },
        { title: t("asked_for"), number: true, cell: (row) => energyOr(row.bids_milli_wh), plain: (row) => row.bids_milli_wh ?? "" },
        { title: t("offered"), number: true, cell: (row) => energyOr(row.offers_milli_wh), plain: (row) => row.offers_milli_wh ?? "" },
        { title: t("traded"), number: true, cell: (row) => (row.cleared.length ? energy(row.traded_milli_wh) : "–"), plain: (row) => (row.cleared.length ? row.traded_milli_wh : "") },
        { title: t("price_per_kwh"), number: true, cell: (row) => priceWords(row), plain: (row) => priceWords(row) },
      ],
    }),
    shown.length < rows.length && h("p", { class: "pager" }, h("a", { class: "button quiet", href: `/days/${market.name}?day=${rows[0].day}&all=1` }, t("all_intervals", { count: integer(rows.length) }))));
}

const energyOr = (amount) => (amount === null ? "–" : energy(amount));

/** The price of each gate that cleared; where buyers and sellers, or buses, have others: from – to. */
const priceWords = (row) => row.cleared.map((one) => {
  const found = [one.buyer_price_half_micro_per_kwh, one.seller_price_half_micro_per_kwh, ...one.prices.map((bus) => bus.price_half_micro_per_kwh)]
    .filter((half) => half !== null).map(BigInt).sort((left, right) => (left < right ? -1 : 1));
  if (found.length === 0) return "–";
  return found[0] === found.at(-1) ? halfPrice(found[0]) : `${halfPrice(found[0])} – ${halfPrice(found.at(-1))}`;
}).join("; ") || "–";

/** The gate whose orders come next, with when it closes. */
function nextGate(row, form) {
  const gate = row.gates.find((one) => Number(one.closes_ms) > Date.now());
  if (form === "plain") return gate ? new Date(Number(gate.closes_ms)).toISOString() : "";
  return gate ? [`${t(`gate_${gate.kind}`)}, `, Number(gate.opens_ms) > Date.now() ? [t("gate_opens"), " ", moment(gate.opens_ms)] : [t("gate_closes"), " ", moment(gate.closes_ms)]] : t("gates_closed");
}

async function drawSettled(place, rows) {
  const found = settledRows(rows);
  const shares = rows.map((row) => [at(row), localShare(row.settled)]).filter(([, share]) => share !== null);
  const sum = (name) => ({ title: t(`sum_${name}`), number: true, cell: (row) => energyOr(row[`${name}_milli_wh`]), plain: (row) => row[`${name}_milli_wh`] ?? "" });
  refill(place,
    shares.length > 1 && await lineChart({ title: t("local_share"), yTitle: "%", series: [{ name: t("local_share"), step: "step-after", points: shares.map(([x, share]) => [x, share * 100]) }] }),
    h("p", { class: "note" }, t("local_share_words")),
    table({
      caption: t("settled_caption"), file: `settled-${rows[0]?.market}-${rows[0]?.day}`, rows: found, empty: t("nothing_settled"),
      columns: [
        beginning(rows),
        { title: t("state"), cell: (row) => t(`bill_part_${row.part}`) + (row.withdrawn_milli_wh === null && Number(row.members) > 0 ? `, ${t("sums_withheld")}` : ""), plain: (row) => row.part },
        { title: t("members"), number: true, cell: (row) => integer(row.members), plain: (row) => row.members },
        ...["contracted", "withdrawn", "injected", "from_upstream", "to_upstream"].map(sum),
        { title: t("sum_penalties"), number: true, cell: (row) => (row.penalties_micro === null ? "–" : money(row.penalties_micro)), plain: (row) => row.penalties_micro ?? "" },
        { title: t("local_share"), number: true, cell: (row) => (row.share === null ? "–" : percent(row.share, 1)), plain: (row) => row.share ?? "" },
      ],
    }));
}

async function drawLines(place, market, rows, ratings) {
  if (!market.feeder) return;
  const found = congestion(market, rows, ratings);
  const points = found.map((row) => [at(row), row.share * 100]);
  refill(place,
    points.length > 1 && await lineChart({ title: t("fullest_line"), yTitle: "%", series: [{ name: t("fullest_line"), points }] }),
    table({
      caption: t("congestion_caption"), file: `congestion-${market.name}-${rows[0]?.day}`, rows: found, empty: t("no_flows"),
      columns: [
        beginning(rows),
        { title: t("fullest_line"), cell: (row) => h("bdi", {}, row.line), plain: (row) => row.line },
        { title: t("flow"), number: true, cell: (row) => energy(row.flow_milli_wh), plain: (row) => row.flow_milli_wh },
        { title: t("limit"), number: true, cell: (row) => energy(row.limit_milli_wh), plain: (row) => row.limit_milli_wh },
        { title: t("loading"), number: true, cell: (row) => percent(row.share, 1), plain: (row) => row.share },
        { title: t("full_lines"), number: true, cell: (row) => integer(row.full), plain: (row) => row.full },
        { title: t("price_spread"), number: true, cell: (row) => halfPrice(row.spread_half_micro_per_kwh), plain: (row) => halfPrice(row.spread_half_micro_per_kwh) },
      ],
    }));
}

const ownTable = (rows) => table({
  caption: t("own_day_caption"), file: "own-day", rows: rows.filter((row) => row.position), empty: t("no_own_day"),
  columns: [
    beginning(rows),
    { title: t("bought"), number: true, cell: (row) => energy(row.position.bought_milli_wh), plain: (row) => row.position.bought_milli_wh },
    { title: t("sold"), number: true, cell: (row) => energy(row.position.sold_milli_wh), plain: (row) => row.position.sold_milli_wh },
    { title: t("set_aside"), number: true, cell: (row) => money(row.position.reserved_micro), plain: (row) => row.position.reserved_micro },
    { title: t("standing"), cell: (row) => orderWords(row.position.orders), plain: (row) => orderWords(row.position.orders) },
  ],
});
