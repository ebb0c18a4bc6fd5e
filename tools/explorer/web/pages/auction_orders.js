// Orders of auctions: their steps as a person types them, and sealed ones, which this browser keeps
// until they are opened.

import { encode, fromHex, toHex } from "../core/codec.js";
import { newSeed, tagged } from "../core/crypto.js";
import { h } from "../core/dom.js";
import { amountOf } from "../core/form.js";
import { energy, price } from "../core/format.js";
import { field } from "../core/parts.js";
import { t } from "../core/text.js";

const PLACE = "bitenergy.orders";
const MOST_STEPS = 20;
const MICRO = 1_000_000n;

/** Fields for steps, one at first; a button adds more. */
export function stepFields() {
  const list = h("div", { class: "steps-list" });
  const more = () => {
    const place = list.children.length;
    list.append(h("div", { class: "row" },
      field({ name: `energy-${place}`, title: `${t("field_energy")} (kWh)`, inputmode: "decimal", required: place === 0, maxlength: 24 }),
      field({ name: `price-${place}`, title: `${t("field_price")} (${t("tokens_per_kwh")})`, inputmode: "decimal", required: place === 0, maxlength: 24 })));
    button.disabled = list.children.length >= MOST_STEPS;
  };
  const button = h("button", { type: "button", class: "quiet", onclick: more }, t("add_step"));
  more();
  return [list, h("p", { class: "note" }, t("steps_note")), h("p", {}, button)];
}

/** The steps of a form; rows that were left empty do not count. */
export function readSteps(data) {
  const found = [];
  for (let place = 0; place < MOST_STEPS && data.has(`energy-${place}`); place += 1) {
    if (place > 0 && !data.get(`energy-${place}`) && !data.get(`price-${place}`)) continue;
    found.push({ energy_milli_wh: amountOf(data, `energy-${place}`, t("field_energy")), price_micro_per_kwh: amountOf(data, `price-${place}`, t("field_price"), { zero: true }) });
  }
  return found;
}

export const stepWords = (steps) => steps.map((step) => t("step_words", { energy: energy(step.energy_milli_wh), price: price(step.price_micro_per_kwh) })).join("; ") || "–";

/** The orders that this browser committed to, by commitment, as they are opened. */
export function keptOrders() {
  let found = {};
  try {
    found = JSON.parse(localStorage.getItem(PLACE) ?? "{}");
  } catch {
    // What is stored is nothing that this page wrote.
  }
  return Object.fromEntries(Object.entries(found).map(([commitment, kept]) => [commitment, {
    side: kept.side, salt: fromHex(kept.salt), pairs: kept.steps.map(([amount, limit]) => [BigInt(amount), BigInt(limit)]),
    steps: kept.steps.map(([amount, limit]) => ({ energy_milli_wh: BigInt(amount), price_micro_per_kwh: BigInt(limit) })),
  }]));
}

/** Commit to an order: keeps it here with its salt, and returns the call and what covers it. */
export async function commitTo(auction, { interval, side, steps }, account) {
  const salt = newSeed();
  const pairs = steps.map((step) => [step.energy_milli_wh, step.price_micro_per_kwh]);
  const commitment = await tagged("auction/commitment", encode([auction.name, interval, account, side === "buy" ? 0 : 1, pairs, salt]));
  const stored = JSON.parse(localStorage.getItem(PLACE) ?? "{}");
  stored[toHex(commitment)] = { side, salt: toHex(salt), steps: pairs.map((pair) => pair.map(String)) };
  localStorage.setItem(PLACE, JSON.stringify(stored));
  const cover = {
    cover_micro: side === "buy" ? steps.reduce((sum, step) => sum + roundUp(step.energy_milli_wh * step.price_micro_per_kwh), 0n) : 0n,
    cover_milli_wh: side === "sell" ? steps.reduce((sum, step) => sum + step.energy_milli_wh, 0n) : 0n,
  };
  return { call: ["auction", "commit", [auction.name, interval, commitment, cover.cover_micro, cover.cover_milli_wh]], cover };
}

const roundUp = (product) => (product + MICRO - 1n) / MICRO;
