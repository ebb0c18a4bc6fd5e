// Forms that make calls: they read what a person typed, have it signed, and say what came of it.

import { h, refill } from "./dom.js";
import { parseAmount } from "./format.js";
import { problem } from "./parts.js";
import { send } from "./send.js";
import { t } from "./text.js";

const PLACES = 6;
const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const TICK_MS = 100;
const DIALOG_MS = 1_000;

/** A form whose `read(data)` gives {calls, words, before}: `before` is called once they are consented to,
 *  `done` once they are final. What it shows of itself stays in the form. Where a page has several that
 *  say the same, `about` tells them apart for a screen reader. */
export function callForm({ id, fields, label, about, read, done, inline = false, quiet = false }) {
  const place = h("div", { class: "answer" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      const { calls, words, before } = await read(new FormData(event.target));
      if ((await send(place, calls, words, before)) && done) await done();
    } catch (error) {
      refill(place, problem(error));
    }
  };
  return h("form", { class: inline ? "row" : "stack", onsubmit: submit, id, "aria-label": about ?? label }, fields,
    h("button", { type: "submit", class: quiet ? "quiet" : null }, label), place);
}

/** An amount that was typed, in millionths; throws an Error in words where it does not fit. */
export function amountOf(data, name, title, { zero = false } = {}) {
  const text = String(data.get(name) ?? "");
  const found = parseAmount(text, PLACES);
  if (found === null || (found === 0n && !zero)) throw new Error(t("not_an_amount", { field: title, text }));
  return found;
}

/** A power that was typed in kW, in whole watts. */
export function wattsOf(data, name, title) {
  const found = amountOf(data, name, title);
  if (found % 1_000n !== 0n) throw new Error(t("not_whole_watts", { field: title }));
  return found / 1_000n;
}

/** A moment that was chosen, in milliseconds UTC. */
export function momentOf(data, name, title) {
  const found = new Date(String(data.get(name) ?? "")).getTime();
  if (Number.isNaN(found)) throw new Error(t("not_a_moment", { field: title }));
  return found;
}

/** So many minutes from now, or a little later at a full quarter of an hour, as meters measure; as an
 *  input of a moment takes it. */
export function inMinutes(minutes) {
  const found = new Date(Math.ceil((Date.now() + minutes * MINUTE_MS) / QUARTER_MS) * QUARTER_MS);
  const local = new Date(found.getTime() - found.getTimezoneOffset() * MINUTE_MS);
  return local.toISOString().slice(0, 16);
}

const REDRAWN_ON = ["block", "mended", "reorganisation"];

/** Have `draw` run for new blocks and after a lost connection, at most once in so many milliseconds.
 *  It must leave forms where they are: a dialog may be open in one. */
export function redrawOn(context, draw, pauseMs = 500) {
  let due = null;
  context.listen((message) => {
    if (!REDRAWN_ON.includes(message.type)) return;
    due ??= setTimeout(() => {
      due = null;
      if (!context.signal.aborted) Promise.resolve(draw()).catch(() => {});
    }, pauseMs);
  });
}

/** Put forms into `place`, and have `draw` run at the next of some moments. While a dialog is open in
 *  `place` it stays as it is, and `draw` runs a little later. */
export function refillForms(place, forms, moments, context, draw) {
  const isOpen = place.querySelector("dialog") !== null;
  if (!isOpen) refill(place, forms);
  const nextMs = isOpen ? DIALOG_MS : TICK_MS + Math.min(...moments.map((at) => Number(at) - Date.now()).filter((left) => left > 0));
  clearTimeout(timers.get(place));
  if (nextMs > LONGEST_TIMER_MS) return;
  timers.set(place, setTimeout(() => {
    if (!context.signal.aborted) draw().catch(() => {});
  }, nextMs));
}

const timers = new WeakMap();
