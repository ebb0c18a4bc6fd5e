// A market: its rules, its order book with depth, its trades and prices, and one's own offers.

import { all, get } from "../core/api.js";
import { lineChart } from "../core/chart.js";
import { add, h, refill } from "../core/dom.js";
import { drawn, energy, integer, money, price, time } from "../core/format.js";
import { accountLink, blockLink, factList, moment, problem, section, transactionLink } from "../core/parts.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

const CHARTED_OFFERS = 300;
const SHOWN = 50;
const CHARTED_TRADES = 200;

/** The markets, the chosen one first found by name. */
export async function chooseMarket(name) {
  const { markets } = await get("/markets");
  if (markets.length === 0) throw Object.assign(new Error(t("no_market")), { code: "no_market" });
  return { markets, market: markets.find((one) => one.name === name) ?? markets[0] };
}

/** Links to all markets on a page of this kind. */
export const marketLinks = (markets, chosen, page) => markets.length > 1 && h("p", { class: "row tabs" }, markets.map((one) =>
  h("a", { class: "button quiet", href: `/${page}/${one.name}`, "aria-current": one.name === chosen.name ? "page" : null }, one.name)));

/** Words for a delivery interval: when it begins. */
export function intervalWords(market, interval) {
  if (!market.interval_minutes) return t("now");
  return time(Number(interval) * market.interval_minutes * 60_000);
}

export async function render(stage, [name], context) {
  const { markets, market } = await chooseMarket(name);
  const book = h("div", {});
  const trades = h("div", {});
  const own = h("div", {});
  add(stage, h("h1", {}, t("market_title", { market: market.name })), marketLinks(markets, market, "market"),
    rules(market), section(t("order_book"), book), own, section(t("trades"), trades));
  const drawAll = () => Promise.all([drawBook(book, market), drawTrades(trades, market), drawOwn(own, market)]);
  await drawAll();
  let due = null;
  context.listen((message) => {
    if (!["block", "mended", "reorganisation"].includes(message.type)) return;
    due ??= setTimeout(() => {
      due = null;
      if (!context.signal.aborted) drawAll().catch((error) => refill(book, problem(error)));
    }, 500);
  });
  return t("market_title", { market: market.name });
}

function rules(market) {
  return factList([
    [t("delivery"), market.interval_minutes ? t("intervals_of", { minutes: market.interval_minutes, closure: market.gate_closure_minutes }) : t("no_intervals")],
    market.interval_minutes > 0 && [t("open_interval"), intervalWords(market, market.open_interval)],
    [t("line_policy"), t(`policy_${market.policy}`)],
    market.policy === "penalty" && [t("penalty_price"), `${price(market.penalty_price_micro_per_kwh)} ${t("per_kwh")}`],
    market.edc && [t("edc"), accountLink(market.edc, market.edc_name)],
    market.lines > 0 && [t("lines"), h("a", { href: `/grid/${market.name}` }, integer(market.lines))],
  ]);
}

const offerColumns = () => [
  { title: t("offer"), cell: (row) => row.id },
  { title: t("seller"), cell: (row) => accountLink(row.seller, row.seller_name), plain: (row) => row.seller_name ?? row.seller },
  { title: t("price_per_kwh"), number: true, cell: (row) => price(row.price_micro_per_kwh), plain: (row) => row.price_micro_per_kwh },
  { title: t("energy"), number: true, cell: (row) => energy(row.energy_milli_wh), plain: (row) => row.energy_milli_wh },
  { title: t("bus"), cell: (row) => row.bus || "–" },
];

async function drawBook(place, market) {
  const { offers, next } = await get(`/markets/${market.name}/offers`, { limit: CHARTED_OFFERS });
  let sum = 0n;
  const depth = offers.map((offer) => {
    sum += BigInt(offer.energy_milli_wh);
    return [drawn(offer.price_micro_per_kwh), drawn(sum)];
  });
  if (depth.length > 0) {
    const [first, last] = [depth[0][0], depth.at(-1)];
    depth.unshift([first, 0]);
    depth.push([last[0] + (last[0] - first) / 20 || last[0] * 1.01, last[1]]);
  }
  refill(place,
    await lineChart({ title: t("depth"), x: "number", xTitle: t("price_per_kwh"), yTitle: "kWh",
      series: [{ name: t("depth"), step: "step-after", filled: true, points: depth }] }),
    table({ caption: t(next === null ? "book_caption" : "book_cheapest", { count: integer(offers.length) }), file: `offers-${market.name}`, rows: offers.slice(0, SHOWN), columns: offerColumns() }),
    h("p", {}, h("a", { class: "button", href: `/exchange/${market.name}` }, t("trade_here"))));
}

async function drawTrades(place, market) {
  const { trades } = await get(`/markets/${market.name}/trades`, { limit: CHARTED_TRADES });
  const points = trades.map((trade) => [Number(trade.time_ms), drawn(trade.price_micro_per_kwh)]).reverse();
  refill(place,
    await lineChart({ title: t("price_history"), yTitle: t("tokens_per_kwh"), fromZero: false, series: [{ name: t("price"), points }] }),
    table({
      caption: t("trades_caption"),
      file: `trades-${market.name}`,
      rows: trades.slice(0, SHOWN),
      columns: [
        { title: t("time"), cell: (row) => moment(row.time_ms), plain: (row) => new Date(Number(row.time_ms)).toISOString() },
        { title: t("buyer"), cell: (row) => accountLink(row.buyer, row.buyer_name), plain: (row) => row.buyer_name ?? row.buyer },
        { title: t("seller"), cell: (row) => accountLink(row.seller, row.seller_name), plain: (row) => row.seller_name ?? row.seller },
        { title: t("energy"), number: true, cell: (row) => energy(row.energy_milli_wh), plain: (row) => row.energy_milli_wh },
        { title: t("price_per_kwh"), number: true, cell: (row) => price(row.price_micro_per_kwh), plain: (row) => row.price_micro_per_kwh },
        { title: t("amount"), number: true, cell: (row) => money(row.amount_micro), plain: (row) => row.amount_micro },
        { title: t("transaction"), cell: (row) => (row.transaction_id ? transactionLink(row.transaction_id) : blockLink(row.height)), plain: (row) => row.transaction_id ?? "" },
      ],
    }));
}

async function drawOwn(place, market) {
  const key = current();
  if (!key) return;
  const offers = await all(`/markets/${market.name}/offers`, "offers", { seller: key.address }, { most: 200 }).catch((error) => {
    if (error.status === 404) return [];
    throw error;
  });
  refill(place, section(t("own_offers"), table({ caption: t("own_caption"), file: `own-${market.name}`, rows: offers, columns: offerColumns() }),
    h("p", {}, h("a", { class: "button quiet", href: `/exchange/${market.name}` }, t("change_own")))));
}
