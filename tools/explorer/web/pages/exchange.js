// Exchange: post, update, withdraw and buy, with a preview of what a purchase would meet.

import { all, get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { energy, money, parseAmount, price } from "../core/format.js";
import { accountLink, factList, field, problem, section } from "../core/parts.js";
import { preview, send, walletNotice } from "../core/send.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { chooseMarket, intervalWords, marketLinks } from "./market.js";

const PLACES = 6;

export async function render(stage, [name]) {
  const { markets, market } = await chooseMarket(name);
  const own = h("div", {});
  const refresh = () => drawOwn(own, market, refresh).catch((error) => refill(own, problem(error)));
  add(stage, h("h1", {}, t("exchange_title", { market: market.name })), marketLinks(markets, market, "exchange"),
    walletNotice(),
    market.interval_minutes > 0 && h("p", {}, t("trades_for", { when: intervalWords(market, market.open_interval) })),
    h("div", { class: "columns" }, section(t("buy"), buyForm(market, refresh)), section(t("sell"), postForm(market, refresh))), own);
  await refresh();
  return t("exchange_title", { market: market.name });
}

/** Read the amounts of a form; returns null and says why where one does not fit. */
function amounts(form, place, names) {
  const found = {};
  for (const name of names) {
    const value = parseAmount(form.get(name) ?? "", PLACES);
    if (value === null || value <= 0n) {
      refill(place, h("p", { class: "problem", role: "alert" }, t("not_an_amount", { field: t(`field_${name}`), text: form.get(name) ?? "" })));
      return null;
    }
    found[name] = value;
  }
  return found;
}

const amountField = (prefix, name, unit, value = "") => field({
  name: `${prefix}${name}`, title: `${t(`field_${name}`)} (${unit})`, inputmode: "decimal", required: true, value, maxlength: 24,
});

function values(event, prefix) {
  const data = new FormData(event.target.form ?? event.target);
  return new Map([...data].map(([name, value]) => [name.replace(prefix, ""), value]));
}

function postForm(market, refresh) {
  const place = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    const found = amounts(values(event, "post-"), place, ["energy", "price"]);
    if (!found) return;
    const call = ["market", "post", [market.name, market.open_interval, found.energy, found.price]];
    const isDone = await send(place, [call], [
      [t("what"), t("post_words")], [t("market"), market.name], [t("field_energy"), energy(found.energy)],
      [t("price_per_kwh"), price(found.price)],
    ]);
    if (isDone) refresh();
  };
  return h("form", { class: "stack", onsubmit: submit, id: "post-form" }, amountField("post-", "energy", "kWh"),
    amountField("post-", "price", t("tokens_per_kwh")), h("button", { type: "submit" }, t("post_offer")), place);
}

function buyForm(market, refresh) {
  const place = h("div", {});
  const call = (found) => ["market", "buy", [market.name, market.open_interval, found.energy, found.max_price, true]];
  const read = (event) => amounts(values(event, "buy-"), place, ["energy", "max_price"]);
  const look = async (event) => {
    const found = read(event);
    if (!found) return;
    try {
      refill(place, await previewWords(market, [call(found)], found));
    } catch (error) {
      refill(place, problem(error));
    }
  };
  const submit = async (event) => {
    event.preventDefault();
    const found = read(event);
    if (!found) return;
    const isDone = await send(place, [call(found)], [
      [t("what"), t("buy_words")], [t("market"), market.name], [t("field_energy"), energy(found.energy)],
      [t("field_max_price"), price(found.max_price)],
    ]);
    if (isDone) refresh();
  };
  return h("form", { class: "stack", onsubmit: submit, id: "buy-form" }, amountField("buy-", "energy", "kWh"),
    amountField("buy-", "max_price", t("tokens_per_kwh")),
    h("div", { class: "row" }, h("button", { type: "button", class: "quiet", onclick: look }, t("preview")),
      h("button", { type: "submit" }, t("buy"))), place);
}

/** What a purchase would take: sellers, prices, penalties, and the lines on the way. */
async function previewWords(market, calls, wanted) {
  const key = current();
  if (!key) return walletNotice();
  const [receipt, lines, buyer] = await Promise.all([
    preview(key.address, calls), get(`/markets/${market.name}/lines`, { interval: market.open_interval }), get(`/accounts/${key.address}`),
  ]);
  if (receipt.code) return problem({ code: receipt.code, message: receipt.message });
  const trades = receipt.events.filter((event) => event.event === "trade").map((event) => event.fields);
  const sellers = await Promise.all(trades.map((trade) => get(`/accounts/${trade.seller}`)));
  const sum = (name) => trades.reduce((total, trade) => total + BigInt(trade[name]), 0n);
  return h("div", { class: "notice", "data-preview": trades.length },
    table({
      caption: t("preview_caption"),
      rows: trades.map((trade, at) => ({ ...trade, seller: sellers[at] })),
      empty: t("nothing_to_buy"),
      columns: [
        { title: t("seller"), cell: (row) => accountLink(row.seller.address, row.seller.name) },
        { title: t("energy"), number: true, cell: (row) => energy(row.energy_milli_wh) },
        { title: t("price_per_kwh"), number: true, cell: (row) => price(row.price_micro_per_kwh) },
        { title: t("penalty"), number: true, cell: (row) => price(row.penalty_micro_per_kwh) },
        { title: t("lines"), cell: (row) => path(lines.lines, row.seller.bus, buyer.bus).join(" → ") || "–" },
      ],
    }),
    factList([[t("you_pay"), money(sum("amount_micro"))],
      [t("you_get"), `${energy(sum("energy_milli_wh"))} / ${energy(wanted.energy)}`]]));
}

/** The names of the lines between two buses of a radial network. */
export function path(lines, from, to) {
  const reached = new Map([[from, []]]);
  const waiting = [from];
  while (waiting.length > 0 && !reached.has(to)) {
    const bus = waiting.shift();
    for (const line of lines) {
      const other = line.from_bus === bus ? line.to_bus : line.to_bus === bus ? line.from_bus : null;
      if (other === null || reached.has(other)) continue;
      reached.set(other, [...reached.get(bus), line.name]);
      waiting.push(other);
    }
  }
  return reached.get(to) ?? [];
}

async function drawOwn(place, market, refresh) {
  const key = current();
  if (!key) return;
  const offers = await all(`/markets/${market.name}/offers`, "offers", { seller: key.address, interval: market.open_interval }, { most: 200 })
    .catch((error) => {
      if (error.status === 404) return [];
      throw error;
    });
  refill(place, section(t("own_offers"), offers.length === 0 ? h("p", { class: "empty" }, t("no_own_offers"))
    : offers.map((offer) => ownOffer(market, offer, refresh))));
}

function ownOffer(market, offer, refresh) {
  const place = h("div", {});
  const prefix = `own-${offer.id}-`;
  const update = async (event) => {
    event.preventDefault();
    const found = amounts(values(event, prefix), place, ["energy", "price"]);
    if (!found) return;
    const isDone = await send(place, [["market", "update", [market.name, offer.id, found.energy, found.price]]], [
      [t("what"), t("update_words", { id: offer.id })], [t("field_energy"), energy(found.energy)], [t("price_per_kwh"), price(found.price)],
    ]);
    if (isDone) refresh();
  };
  const withdraw = async () => {
    const isDone = await send(place, [["market", "withdraw", [market.name, offer.id]]], [[t("what"), t("withdraw_words", { id: offer.id })]]);
    if (isDone) refresh();
  };
  return h("form", { class: "row", onsubmit: update, "aria-label": t("offer_number", { id: offer.id }) },
    h("p", {}, t("offer_number", { id: offer.id }), ": ", energy(offer.energy_milli_wh), " · ", price(offer.price_micro_per_kwh)),
    amountField(prefix, "energy", "kWh"), amountField(prefix, "price", t("tokens_per_kwh")),
    h("button", { type: "submit", class: "quiet" }, t("update")),
    h("button", { type: "button", class: "quiet", onclick: withdraw }, t("withdraw")), place);
}
