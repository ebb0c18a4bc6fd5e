// Orders of auctions: their steps as a person types them, and sealed ones.

import { h } from "../core/dom.js";
import { amountOf } from "../core/form.js";
import { energy, price } from "../core/format.js";
import { field } from "../core/parts.js";
import { seal } from "../core/sealed.js";
import { t } from "../core/text.js";

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

/** Seal an order of an auction: the order to keep, and what covers it. */
export async function sealOrder(auction, { interval, side, steps }) {
  const pairs = pairsOf(steps);
  const order = await seal({ module: "auction", name: auction.name, interval, side, pairs });
  const cover = {
    cover_micro: side === "buy" ? steps.reduce((sum, step) => sum + divideUp(step.energy_milli_wh * step.price_micro_per_kwh), 0n) : 0n,
    cover_milli_wh: side === "sell" ? steps.reduce((sum, step) => sum + step.energy_milli_wh, 0n) : 0n,
  };
  return { order, cover };
}

/** Steps as a call has them, and such pairs as steps. */
export const pairsOf = (steps) => steps.map((step) => [step.energy_milli_wh, step.price_micro_per_kwh]);
export const stepsOf = (pairs) => pairs.map(([amount, limit]) => ({ energy_milli_wh: amount, price_micro_per_kwh: limit }));

/** Energy times price in whole micro-tokens, rounded up. */
export const divideUp = (product) => (product + MICRO - 1n) / MICRO;
