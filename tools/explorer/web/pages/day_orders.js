// Orders of day markets: placing, committing, opening and cancelling one's own.

import { get } from "../core/api.js";
import { fromHex } from "../core/codec.js";
import { h } from "../core/dom.js";
import { amountOf, callForm, refillForms } from "../core/form.js";
import { integer, money, price, time } from "../core/format.js";
import { field, mark, section } from "../core/parts.js";
import { dropOrder, keep, keptOrders, seal } from "../core/sealed.js";
import { current } from "../core/store.js";
import { t } from "../core/text.js";
import { divideUp, pairsOf, readSteps, stepFields, stepsOf, stepWords } from "./auction_orders.js";
import { begins } from "./day_rows.js";

const TO_THE_LAST = 255n;
const DATE_LETTERS = 10;
const SEARCHED = 200;
const MARKS = { waiting: "plain", opening: "warn", clearing: "bad", opened: "good", forfeited: "bad", unknown: "plain" };

export const isOpen = (row) => gateOf(row) >= 0;

/** The number of the gate that takes an interval's orders now; -1 where none does. */
const gateOf = (row) => row.gates.findIndex((gate) => Number(gate.opens_ms) <= Date.now() && Date.now() < Number(gate.closes_ms));

export const orderWords = (orders) => orders.map((one) => (one.side ? `${t(one.side)}: ${stepWords(one.steps)}` : t("sealed"))).join("; ") || "–";

const standingWords = (market, row, order) => [[t("market"), market.name], [t("delivery_begins"), row.local_start], ...order];

/** The form for an order of one of the intervals with an open gate; what a gate wants sealed is committed to. */
export function orderForm(market, rows, done) {
  const open = rows.filter(isOpen);
  if (open.length === 0) return h("p", { class: "empty" }, t("no_open_gate"));
  const sealed = open.filter((row) => market.gates[gateOf(row)].sealed);
  const label = sealed.length === open.length ? t("commit") : t("place_order");
  const words = (row) => (sealed.includes(row) && sealed.length < open.length ? t("sealed_gate", { begins: begins(row, rows) }) : begins(row, rows));
  return section(label, callForm({
    id: "day-order-form", label, done,
    fields: [
      field({ name: "interval", title: t("delivery_begins"), options: open.map((row) => [row.interval, words(row)]) }),
      field({ name: "side", title: t("side"), options: [["buy", t("buy")], ["sell", t("sell")]] }), stepFields(),
      h("p", { class: "note" }, t("day_prices_note", { low: price(market.feed_in_micro_per_kwh), high: price(market.retail_micro_per_kwh) })),
      sealed.length > 0 && sealedFields(market, market.gates[gateOf(sealed[0])]),
    ],
    read: (data) => {
      const [interval, side, steps] = [BigInt(data.get("interval")), data.get("side"), readSteps(data)];
      const row = open.find((one) => BigInt(one.interval) === interval);
      const order = standingWords(market, row, [[t("side"), t(side)], [t("steps"), stepWords(steps)]]);
      // Time has passed since the form was drawn: another gate may take the orders now.
      if (market.gates[gateOf(row)]?.sealed) return commitment(market, row, { interval, side, steps }, data, order);
      return { calls: [["day", "place", [market.name, interval, side, pairsOf(steps), TO_THE_LAST]]], words: [[t("what"), t("place_words")], ...order] };
    },
  }));
}

function sealedFields(market, gate) {
  const apart = market.gates.some((one) => one.mechanism === "huang") && divideUp(BigInt(market.max_energy_milli_wh) * (BigInt(market.retail_micro_per_kwh) - BigInt(market.feed_in_micro_per_kwh)));
  return [
    field({ name: "cover", title: t("cover"), note: t("cover_note"), inputmode: "decimal", maxlength: 24 }),
    h("p", { class: "note" }, t("sealed_note", { deposit: money(gate.deposit_micro) }), apart && ` ${t("misstatement_note", { amount: money(apart) })}`),
  ];
}

/** What a sealed order needs set aside, in micro-tokens, as the chain counts it (market/day/collateral.py). */
function needs(market, side, steps) {
  const [retail, penalty] = [market.retail_micro_per_kwh, market.penalty_micro_per_kwh].map(BigInt);
  const sum = steps.reduce((all, step) => all + step.energy_milli_wh * (side === "buy" ? retail : retail + penalty - step.price_micro_per_kwh), 0n);
  return sum > 0n ? divideUp(sum) : 0n;
}

async function commitment(market, row, { interval, side, steps }, data, words) {
  const open = gateOf(row);
  const [gate, window, needed] = [market.gates[open], row.gates[open], needs(market, side, steps)];
  const cover = data.get("cover") ? amountOf(data, "cover", t("cover")) : needed;
  if (cover < needed) throw new Error(t("cover_too_small", { amount: money(needed) }));
  const order = await seal({
    module: "day", name: market.name, interval, side, pairs: pairsOf(steps), lastGate: TO_THE_LAST, number: null, state: null,
    local_start: row.local_start, closes_ms: Number(window.closes_ms), clears_ms: Number(window.clears_ms), deposit_micro: Number(gate.deposit_micro),
  });
  return {
    calls: [["day", "commit", [market.name, interval, fromHex(order.commitment), BigInt(steps.length), cover]]],
    words: [[t("what"), t("commit_words")], ...words, [t("set_aside"), `${money(cover + BigInt(gate.deposit_micro))} ${t("tokens")}`],
      [t("to_be_opened"), t("open_between", { ...times(order), deposit: money(gate.deposit_micro) })]],
    before: () => keep(order),
  };
}

const times = (order) => ({ from: time(order.closes_ms), to: time(order.clears_ms) });

/** Own orders with what can be done with them now; drawn again by `done` when a gate closes or clears. */
export async function ownForms(place, market, rows, context, done) {
  const kept = await sealedOrders(market, rows);
  const isKept = (row, order) => kept.some((one) => one.order.number === order.number && one.order.interval === BigInt(row.interval));
  const standing = rows.filter((row) => row.position && isOpen(row)).flatMap((row) => row.position.orders.filter((order) => !isKept(row, order)).map((order) => ({ row, order })));
  const forms = [kept.map((one) => sealedTile(market, rows, one, done)), standing.map(({ row, order }) => h("div", { class: "tile" },
    h("p", {}, h("strong", {}, t("order_number", { order: integer(order.number) })), ` · ${begins(row, rows)} · `, order.side ? orderWords([order]) : t("sealed_elsewhere")),
    cancelForm(market, row, order.number, done)))];
  const moments = [...kept.flatMap(({ order }) => [order.closes_ms, order.clears_ms]), ...standing.flatMap(({ row }) => row.gates.map((gate) => gate.closes_ms))];
  refillForms(place, forms, moments, context, done);
}

/** The orders that this browser keeps of a market, the latest first, as the chain has them: {order, row, state}. */
async function sealedOrders(market, rows) {
  const kept = await keptOrders("day", market.name);
  const found = await Promise.all(kept.map(async (order) => {
    const row = rows.find((one) => BigInt(one.interval) === order.interval) ?? await rowOf(market, order);
    return { order, row, state: order.state ?? await standingState(order, row?.position?.orders ?? []) };
  }));
  const ended = found.some((one) => one.state === null) ? await outcomes(market) : new Map();
  return Promise.all(found.sort((left, right) => right.order.closes_ms - left.order.closes_ms).map(async (one) => {
    const state = one.state ?? ended.get(`${one.order.interval} ${one.order.number}`) ?? "unknown";
    if ((state === "opened" || state === "forfeited") && one.order.state !== state) await keep({ ...one.order, state });
    return { ...one, state };
  }));
}

/** The interval of an order of another day than the one that is shown. */
async function rowOf(market, order) {
  const asked = { day: order.local_start.slice(0, DATE_LETTERS), first: order.interval, limit: 1, member: current()?.address };
  const { intervals: [row] } = await get(`/day-markets/${market.name}/intervals`, asked);
  return row;
}

/** How an order stands among those of its position, whose number it is told here; null where it is gone. */
async function standingState(order, orders) {
  const found = orders.find((one) => one.commitment === order.commitment);
  if (!found) return order.number !== null && orders.some((one) => one.number === order.number && one.side) ? "opened" : null;
  if (order.number !== found.number) {
    order.number = found.number;
    await keep(order);
  }
  if (Date.now() < order.closes_ms) return "waiting";
  return Date.now() < order.clears_ms ? "opening" : "clearing";
}

/** What the chain told of commitments of a market: "opened" or "forfeited" by interval and number. */
async function outcomes(market) {
  const told = async (event, state) => (await get("/modules/day/events", { event, limit: SEARCHED })).events
    .filter(({ fields }) => fields.market === market.name).map(({ fields }) => [`${fields.interval} ${fields.order}`, state]);
  return new Map((await Promise.all([told("open", "opened"), told("forfeit", "forfeited")])).flat());
}

function sealedTile(market, rows, { order, row, state }, done) {
  const drop = async () => {
    dropOrder(order.commitment);
    await done();
  };
  const goesOn = state === "opened" && Date.now() >= order.clears_ms && row && isOpen(row) && row.position?.orders.some((one) => one.number === order.number);
  const isHere = rows.some((one) => one.interval === row?.interval);
  return h("div", { class: "tile", "data-sealed": state },
    h("p", {}, h("strong", {}, order.number === null ? t("sealed") : t("order_number", { order: integer(order.number) })), ` · ${isHere ? begins(row, rows) : order.local_start} · `,
      `${t(order.side)}: ${stepWords(stepsOf(order.pairs))} · `, mark(t(`sealed_${state}`, { ...times(order), deposit: money(order.deposit_micro) }), MARKS[state])),
    state === "opening" && callForm({ label: t("open_order"), about: aboutOrder("open_order_words", order.number, row), inline: true, fields: null, done,
      read: () => ({ calls: [["day", "open", [market.name, order.interval, BigInt(order.number), order.side, order.pairs, order.lastGate, order.salt]]],
        words: [[t("what"), t("open_order_words", { order: integer(order.number) })], ...standingWords(market, row, [[t("side"), t(order.side)], [t("steps"), stepWords(stepsOf(order.pairs))]])] }) }),
    (state === "waiting" || goesOn) && cancelForm(market, row, order.number, drop),
    ["opened", "forfeited", "unknown"].includes(state) && h("button", { type: "button", class: "quiet", onclick: () => drop().catch(() => {}) }, t("forget")));
}

const aboutOrder = (what, number, row) => `${t(what, { order: integer(number) })}, ${row.local_start}`;

const cancelForm = (market, row, number, done) => callForm({ label: t("cancel_order"), about: aboutOrder("cancel_words", number, row), quiet: true, inline: true, fields: null, done,
  read: () => ({ calls: [["day", "cancel", [market.name, BigInt(row.interval), BigInt(number)]]],
    words: [[t("what"), t("cancel_words", { order: integer(number) })], ...standingWords(market, row, [])] }) });
