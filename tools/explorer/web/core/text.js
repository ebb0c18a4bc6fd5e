// All words of the pages in one table, English and German; {name} takes a value.

import { TEXTS } from "./texts.js";

export const languages = { en: "English", de: "Deutsch" };
const PLACE = "bitenergy.language";

function preferred() {
  try {
    const kept = localStorage.getItem(PLACE);
    if (kept in languages) return kept;
  } catch {
    // Storage may be closed to this page; the browser's preference then counts.
  }
  const wished = navigator.languages ?? [navigator.language];
  return wished.map((tag) => tag.slice(0, 2)).find((code) => code in languages) ?? "en";
}

let chosen = preferred();

export const language = () => chosen;

/** Where numbers and times are written as the viewer's browser does, in the chosen language. */
export const locale = () => places[chosen] ??= (navigator.languages ?? [navigator.language]).find((tag) => tag.slice(0, 2) === chosen) ?? chosen;
const places = {};

export function setLanguage(code) {
  chosen = code in languages ? code : "en";
  try {
    localStorage.setItem(PLACE, chosen);
  } catch {
    // The choice then holds for this visit.
  }
}

/** The words called `key`, with `values` in their places; `fallback` where there are none. */
export function t(key, values = {}, fallback = key) {
  const words = TEXTS[key]?.[chosen === "de" ? 1 : 0] ?? fallback;
  return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
