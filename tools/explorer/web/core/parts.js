// Pieces that many pages show: links to objects, facts, forms, messages of errors.

import { h } from "./dom.js";
import { ago, short, time } from "./format.js";
import { t } from "./text.js";

const path = (...parts) => `/${parts.map((part) => encodeURIComponent(part)).join("/")}`;

export const blockLink = (height) => h("a", { href: path("block", height) }, height);
export const transactionLink = (id) => h("a", { href: path("transaction", id), class: "id", title: id }, short(id));

/** A link to an account under its member's name, or its address. */
export function accountLink(address, name) {
  if (!address && !name) return "–";
  return h("a", { href: path("account", name ?? address), title: address ?? null, class: name ? null : "id" },
    name ? h("bdi", {}, name) : short(address));
}

/** A moment, with how long ago it was. */
export const moment = (ms) =>
  h("time", { datetime: new Date(Number(ms)).toISOString(), title: time(ms) }, ago(ms));

/** A list of named facts: [[title, value]…]. */
export const factList = (pairs) => h("dl", { class: "facts" },
  pairs.filter(Boolean).map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value))));

/** A tile with one figure. */
export const tile = (title, value, note) => h("div", { class: "tile" },
  h("p", { class: "tile-title" }, title), h("p", { class: "tile-value" }, value), note && h("p", { class: "tile-note" }, note));

/** A word that marks a state: good, bad, or plain. */
export const mark = (word, kind = "plain") => h("span", { class: `mark ${kind}` }, word);

/** A labelled input: {name, title, note, type, value, options [[value, title]…], …attributes}. */
export function field({ name, title, note, options, element = "input", ...attributes }) {
  const id = `field-${name}`;
  const control = options
    ? h("select", { id, name, ...attributes }, options.map(([value, words]) =>
      h("option", { value, selected: value === attributes.value }, words)))
    : h(element, { id, name, autocomplete: "off", "aria-describedby": note ? `${id}-note` : null, ...attributes });
  return h("div", { class: "field" }, h("label", { for: id }, title), control,
    note && h("p", { class: "note", id: `${id}-note` }, note));
}

/** What went wrong, with what to do about it. */
export function problem(error) {
  const known = error.code ? t(`error_${error.code}`, {}, "") : "";
  return h("div", { class: "problem", role: "alert" },
    h("p", {}, known || error.message),
    error.expected && h("p", {}, t("expected", { value: error.expected })),
    error.actual && h("p", {}, t("actual", { value: error.actual })),
    error.hint && h("p", {}, error.hint));
}

/** A section with a heading. */
export const section = (title, ...children) => h("section", {}, h("h2", {}, title), children);
