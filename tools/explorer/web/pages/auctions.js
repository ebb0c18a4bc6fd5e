// Auctions: intervals with their gates, the book while it is open, what was cleared, own orders;
// placing, committing, opening and cancelling.

import { get } from "../core/api.js";
import { lineChart } from "../core/chart.js";
import { fromHex } from "../core/codec.js";
import { add, h, refill } from "../core/dom.js";
import { callForm, redrawOn, refillForms } from "../core/form.js";
import { drawn, energy, integer, money, price, time } from "../core/format.js";
import { accountLink, blockLink, factList, field, mark, moment, section } from "../core/parts.js";
import { dropOrder, keep, keptOrders } from "../core/sealed.js";
import { walletNotice } from "../core/send.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { pairsOf, readSteps, sealOrder, stepFields, stepsOf, stepWords } from "./auction_orders.js";

const AHEAD = 8;
const MOST_ORDERS = 1_000;
const CLEARED = 100;
const STAGES = { open: "good", opening: "warn", clearing: "plain" };

/** A price in half micro-tokens per kWh. */
export const halfPrice = (half) => (half === null ? "–" : price(BigInt(half) / 2n));

export async function render(stage, [name], context) {
  const first = (of) => get(`/auctions/${encodeURIComponent(of)}/intervals`, { limit: 1 });
  // Where the address names an auction, its first interval is asked for at once.
  const asking = name && first(name).catch(() => null);
  const { auctions } = await get("/auctions");
  if (auctions.length === 0) {
    add(stage, h("h1", {}, t("nav_auctions")), h("p", { class: "empty" }, t("no_auctions")));
    return t("nav_auctions");
  }
  const auction = auctions.find((one) => one.name === name) ?? auctions[0];
  const title = t("auction_title", { name: auction.name });
  const chosen = context.query.get("interval");
  const { intervals: [next] } = (auction.name === name && await asking) || await first(auction.name);
  const state = { interval: Number(/^\d{1,15}$/.test(chosen ?? "") ? chosen : next?.interval ?? auction.open_interval) };
  const [intervals, book, own, cleared, trade] = Array.from({ length: 5 }, () => h("div", {}));
  const draw = () => Promise.all([drawIntervals(intervals, auction), drawBook(book, auction, state.interval), drawCleared(cleared, auction)]);
  const drawBoth = () => Promise.all([drawOwn(), draw()]);
  const drawOwn = () => ownOrders(own, auction, context, drawBoth);
  add(stage, h("h1", {}, title),
    auctions.length > 1 && h("p", { class: "row tabs" }, auctions.map((one) => h("a", { class: "button quiet", href: `/auctions/${one.name}`, "aria-current": one.name === auction.name ? "page" : null }, one.name))),
    terms(auction), section(t("intervals"), intervals), section(t("book_of", { when: startWords(auction, state.interval) }), book),
    section(t("your_orders"), walletNotice(), own, trade), section(t("cleared"), cleared));
  await Promise.all([draw(), drawOwn()]);
  if (current()) refill(trade, section(auction.sealed ? t("commit") : t("place_order"), orderForm(auction, state.interval, drawBoth)));
  redrawOn(context, draw);
  return title;
}

const startMs = (auction, interval) => Number(interval) * auction.interval_minutes * auction.minute_ms;
const startWords = (auction, interval) => time(startMs(auction, interval));

function terms(auction) {
  return factList([
    [t("mechanism"), t(`mechanism_${auction.mechanism}`)],
    auction.mechanism !== "huang" && auction.mechanism !== "pay_as_bid" && [t("rationing"), t(`rationing_${auction.rationing}`)],
    [t("orders"), auction.sealed ? t("orders_sealed", { minutes: integer(auction.opening_minutes), deposit: money(auction.deposit_micro) }) : t("orders_open")],
    [t("delivery"), t("intervals_of", { minutes: integer(auction.interval_minutes), closure: integer(auction.gate_minutes) })],
    auction.minute_ms !== 60_000 && [t("clock"), t("fast_clock", { ms: integer(auction.minute_ms) })],
    [t("price_range"), `${price(auction.min_price_micro_per_kwh)} – ${price(auction.max_price_micro_per_kwh)} ${t("tokens_per_kwh")}`],
    auction.market && [t("feeder"), h("a", { href: `/grid/${auction.market}` }, auction.market)],
  ]);
}

async function drawIntervals(place, auction) {
  const { intervals } = await get(`/auctions/${auction.name}/intervals`, { limit: 50 });
  refill(place, table({
    caption: t("intervals_caption"), file: `intervals-${auction.name}`, rows: intervals, empty: t("no_standing_orders"),
    columns: [
      { title: t("delivery_begins"), cell: (row) => h("a", { href: `/auctions/${auction.name}?interval=${row.interval}` }, time(row.start_ms)), plain: (row) => new Date(Number(row.start_ms)).toISOString() },
      { title: t("gate"), cell: (row) => moment(row.gate_ms), plain: (row) => new Date(Number(row.gate_ms)).toISOString() },
      { title: t("clears"), cell: (row) => moment(row.clearing_ms), plain: (row) => new Date(Number(row.clearing_ms)).toISOString() },
      { title: t("state"), cell: (row) => mark(t(`stage_${row.stage}`), STAGES[row.stage]), plain: (row) => row.stage },
      { title: t("orders"), number: true, cell: (row) => integer(row.orders), plain: (row) => row.orders },
    ],
  }));
}

async function drawBook(place, auction, interval) {
  const { book: orders } = await get(`/auctions/${auction.name}/intervals/${interval}`, { limit: MOST_ORDERS });
  const opened = orders.filter((order) => order.side !== null);
  refill(place,
    opened.length > 0 && await lineChart({ title: t("supply_demand"), x: "number", xTitle: "kWh", yTitle: t("tokens_per_kwh"),
      series: [{ name: t("demand"), points: curve(opened, "buy") }, { name: t("supply"), points: curve(opened, "sell") }] }),
    table({
      caption: t("orders_caption", { count: integer(orders.length) }), file: `book-${auction.name}-${interval}`, rows: orders, empty: t("empty_book"),
      columns: [
        { title: t("order"), cell: (row) => row.order },
        { title: t("member"), cell: (row) => accountLink(row.member, row.member_name), plain: (row) => row.member_name ?? row.member },
        { title: t("side"), cell: (row) => (row.side ? t(row.side) : mark(t("sealed"), "warn")), plain: (row) => row.side ?? "sealed" },
        { title: t("steps"), cell: (row) => stepWords(row.steps), plain: (row) => stepWords(row.steps) },
        { title: t("set_aside"), cell: (row) => cover(row), plain: (row) => cover(row) },
      ],
    }));
}

const cover = (row) => [Number(row.cover_micro) + Number(row.deposit_micro) > 0 && `${money(BigInt(row.cover_micro) + BigInt(row.deposit_micro))} ${t("tokens")}`,
  Number(row.cover_milli_wh) > 0 && energy(row.cover_milli_wh)].filter(Boolean).join(" · ") || "–";

/** The steps of one side by price, as a line: [[energy, price]…]. */
export function curve(orders, side) {
  const steps = orders.filter((order) => order.side === side).flatMap((order) => order.steps);
  steps.sort((left, right) => Number(BigInt(left.price_micro_per_kwh) - BigInt(right.price_micro_per_kwh)) * (side === "buy" ? -1 : 1));
  let sum = 0n;
  return steps.flatMap((step) => {
    const from = drawn(sum);
    sum += BigInt(step.energy_milli_wh);
    return [[from, drawn(step.price_micro_per_kwh)], [drawn(sum), drawn(step.price_micro_per_kwh)]];
  });
}

async function drawCleared(place, auction) {
  const key = current();
  const { clearings } = await get(`/auctions/${auction.name}/clearings`, { limit: CLEARED, member: key?.address });
  const priced = clearings.filter((row) => priceOf(row) !== null);
  const points = priced.map((row) => [startMs(auction, row.interval), drawn(priceOf(row)) / 2]).sort((left, right) => left[0] - right[0]);
  refill(place,
    points.length > 1 && await lineChart({ title: t("clearing_prices"), yTitle: t("tokens_per_kwh"), fromZero: false, series: [{ name: t("price"), points }] }),
    table({
      caption: t("cleared_caption"), file: `cleared-${auction.name}`, rows: clearings,
      columns: [
        { title: t("delivery_begins"), cell: (row) => startWords(auction, row.interval), plain: (row) => new Date(startMs(auction, row.interval)).toISOString() },
        { title: t("block"), cell: (row) => blockLink(row.height), plain: (row) => row.height },
        { title: t("volume"), number: true, cell: (row) => energy(row.energy_milli_wh), plain: (row) => row.energy_milli_wh },
        { title: t("price_per_kwh"), number: true, cell: (row) => priceWords(row), plain: (row) => priceWords(row) },
        { title: t("orders"), number: true, cell: (row) => integer(row.orders), plain: (row) => row.orders },
        { title: t("forfeits"), number: true, cell: (row) => integer(row.forfeits), plain: (row) => row.forfeits },
        key && { title: t("yours"), cell: (row) => awardWords(row), plain: (row) => awardWords(row) },
      ].filter(Boolean),
    }));
}

/** One price for a chart, in half micro-tokens: the buyers', or the mean of the buses'. */
function priceOf(row) {
  if (row.buyer_price_half_micro_per_kwh !== null) return BigInt(row.buyer_price_half_micro_per_kwh);
  if (row.prices.length === 0 || Number(row.energy_milli_wh) === 0) return null;
  return row.prices.reduce((sum, one) => sum + BigInt(one.price_half_micro_per_kwh), 0n) / BigInt(row.prices.length);
}

function priceWords(row) {
  const [buyers, sellers] = [row.buyer_price_half_micro_per_kwh, row.seller_price_half_micro_per_kwh];
  if (buyers !== null) return buyers === sellers ? halfPrice(buyers) : `${halfPrice(buyers)} / ${halfPrice(sellers)}`;
  const distinct = [...new Set(row.prices.map((one) => String(one.price_half_micro_per_kwh)))];
  if (distinct.length === 1) return halfPrice(distinct[0]);
  return row.prices.map((one) => `${one.bus} ${halfPrice(one.price_half_micro_per_kwh)}`).join(", ") || "–";
}

const awardWords = (row) => row.awards.map((award) =>
  t(award.side === "buy" ? "bought_words" : "sold_words", { energy: energy(award.energy_milli_wh), amount: money(award.amount_micro) })).join("; ") || "–";

function orderForm(auction, interval, done) {
  const first = Math.max(Number(auction.open_interval), 1);
  const choices = Array.from({ length: AHEAD }, (_, place) => first + place);
  if (!choices.includes(interval) && interval > first) choices.push(interval);
  return callForm({
    id: "order-form", label: auction.sealed ? t("commit") : t("place_order"), done,
    fields: [
      field({ name: "interval", title: t("delivery_begins"), value: interval, options: choices.map((one) => [one, startWords(auction, one)]) }),
      field({ name: "side", title: t("side"), options: [["buy", t("buy")], ["sell", t("sell")]] }),
      stepFields(), auction.sealed && h("p", { class: "note" }, t("sealed_note", { deposit: money(auction.deposit_micro) })),
    ],
    read: async (data) => {
      const order = { interval: BigInt(data.get("interval")), side: data.get("side"), steps: readSteps(data) };
      const words = [[t("what"), auction.sealed ? t("commit_words") : t("place_words")], [t("auction"), auction.name],
        [t("delivery_begins"), startWords(auction, order.interval)], [t("side"), t(order.side)], [t("steps"), stepWords(order.steps)]];
      if (!auction.sealed) return { calls: [["auction", "place", [auction.name, order.interval, order.side, pairsOf(order.steps)]]], words };
      const { order: sealed, cover: covers } = await sealOrder(auction, order);
      return {
        calls: [["auction", "commit", [auction.name, order.interval, fromHex(sealed.commitment), covers.cover_micro, covers.cover_milli_wh]]],
        words: [...words, [t("set_aside"), cover({ ...covers, deposit_micro: auction.deposit_micro })]], before: () => keep(sealed),
      };
    },
  });
}

/** Own orders with what can be done with them now; drawn again when a gate closes or a book clears. */
async function ownOrders(place, auction, context, done) {
  const key = current();
  if (!key) return;
  const { intervals } = await get(`/auctions/${auction.name}/intervals`, { limit: 50 });
  const books = await Promise.all(intervals.map((one) => get(`/auctions/${auction.name}/intervals/${one.interval}`, { member: key.address, limit: 50 })));
  const kept = new Map((await keptOrders("auction", auction.name)).map((order) => [order.commitment, order]));
  const mine = books.flatMap((book) => book.book.map((order) => ({ ...order, book })));
  const forms = mine.length === 0 ? h("p", { class: "empty" }, t("no_own_orders")) : mine.map((order) => ownOrder(auction, order, kept.get(order.commitment), done));
  refillForms(place, forms, mine.flatMap(({ book }) => [book.gate_ms, book.clearing_ms]), context, done);
}

function ownOrder(auction, order, kept, done) {
  const { book } = order;
  const cancelled = async () => {
    if (kept) dropOrder(kept.commitment);
    await done();
  };
  const about = (what) => `${t(what, { order: integer(order.order) })}, ${time(book.start_ms)}`;
  const words = (what) => [[t("what"), t(what, { order: integer(order.order) })], [t("auction"), auction.name], [t("delivery_begins"), time(book.start_ms)]];
  return h("div", { class: "tile" },
    h("p", {}, h("strong", {}, t("order_number", { order: integer(order.order) })), " · ", time(book.start_ms), " · ",
      order.side ? `${t(order.side)}: ${stepWords(order.steps)}` : kept ? `${t("sealed")}: ${t(kept.side)} ${stepWords(stepsOf(kept.pairs))}` : t("sealed_elsewhere")),
    book.stage === "open" && callForm({ label: t("cancel_order"), about: about("cancel_words"), quiet: true, inline: true, fields: null, done: cancelled,
      read: () => ({ calls: [["auction", "cancel", [auction.name, book.interval, order.order]]], words: words("cancel_words") }) }),
    book.stage === "opening" && kept && callForm({ label: t("open_order"), about: about("open_order_words"), inline: true, fields: null, done,
      read: () => ({ calls: [["auction", "open", [auction.name, book.interval, order.order, kept.side, kept.pairs, kept.salt]]],
        words: [...words("open_order_words"), [t("side"), t(kept.side)], [t("steps"), stepWords(stepsOf(kept.pairs))]] }) }));
}

