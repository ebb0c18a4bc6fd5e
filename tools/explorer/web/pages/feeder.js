// The drawing of a feeder: buses and lines of its graph with what is to be told of each. Colours
// only repeat what widths, percentages and prices in figures say.

import { h, svg } from "../core/dom.js";
import { percent, price } from "../core/format.js";
import { t } from "../core/text.js";

const GAP_X = 150;
const GAP_Y = 96;
const MARGIN_X = 90;
const MARGIN_Y = 44;
const RADIUS = 13;
const THIN = 3;
const WIDE = 9;
const FULL = 0.995;
// Lines up to these shares of what they may carry.
const LEVELS = [[0.5, "load-low"], [0.9, "load-some"], [FULL, "load-high"], [Infinity, "load-full"]];
const COLOURS = 5;

/** Places of the buses: depth downwards from the first, siblings side by side. */
export function layout(lines) {
  const around = new Map();
  for (const line of lines) {
    for (const [bus, other] of [[line.from, line.to], [line.to, line.from]]) around.set(bus, [...(around.get(bus) ?? []), other]);
  }
  const depths = new Map();
  const below = new Map();
  const roots = [];
  for (const start of around.keys()) {
    if (depths.has(start)) continue;
    roots.push(start);
    depths.set(start, 0);
    const waiting = [start];
    while (waiting.length > 0) {
      const bus = waiting.shift();
      below.set(bus, around.get(bus).filter((other) => !depths.has(other)));
      for (const other of new Set(below.get(bus))) {
        depths.set(other, depths.get(bus) + 1);
        waiting.push(other);
      }
    }
  }
  const places = new Map();
  let column = 0;
  const put = (bus) => {
    const columns = [...new Set(below.get(bus))].map(put);
    const x = columns.length > 0 ? (columns[0] + columns.at(-1)) / 2 : column++;
    places.set(bus, { x, depth: depths.get(bus) });
    return x;
  };
  roots.forEach(put);
  return places;
}

/** lines: [{name, from, to, share (null where it is not known), words}]; prices: Map of a bus to its price, or null. */
export function feeder(lines, prices) {
  const places = layout(lines);
  const at = (bus) => [MARGIN_X + places.get(bus).x * GAP_X, MARGIN_Y + places.get(bus).depth * GAP_Y];
  const wide = 2 * MARGIN_X + Math.max(...[...places.values()].map((one) => one.x)) * GAP_X;
  const high = 2 * MARGIN_Y + Math.max(...[...places.values()].map((one) => one.depth)) * GAP_Y;
  const scale = prices && priceScale([...prices.values()]);
  const edges = lines.map((line) => edge(line, at(line.from), at(line.to)));
  const labels = lines.map((line) => label(line, at(line.from), at(line.to)));
  const buses = [...places.keys()].map((bus) => busMark(bus, at(bus), prices, scale));
  const words = [t("grid_words"), ...lines.map((line) => `${line.name}: ${line.words}`)].join(" ");
  return h("figure", { class: "chart" }, h("figcaption", {}, t("grid_words")),
    h("div", { class: "wide", tabindex: 0, role: "group", "aria-label": t("drawing") },
      svg("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, class: "natural", role: "img", "aria-label": words }, edges, labels, buses)),
    legend(scale));
}

function edge(line, [x1, y1], [x2, y2]) {
  return svg("line", { x1, y1, x2, y2, class: `edge ${levelOf(line.share ?? 0)}`, "stroke-width": THIN + (WIDE - THIN) * Math.min(line.share ?? 0, 1), "data-line": line.name, "data-share": line.share?.toFixed(4) },
    svg("title", {}, `${line.name}: ${line.words}`));
}

const levelOf = (share) => LEVELS.find(([limit]) => share < limit)[1];

function label(line, [x1, y1], [x2, y2]) {
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  return svg("text", { x: x + 9, y: y + 4, class: "halo" }, line.share === null ? line.name : `${line.name} ${percent(line.share)}`, line.share >= FULL ? ` ${t("full")}` : "");
}

function busMark(bus, [cx, cy], prices, scale) {
  const value = prices?.get(bus);
  return svg("g", { "data-bus": bus, "data-price": value ?? null },
    svg("circle", { cx, cy, r: RADIUS, class: value === undefined ? "bus" : `bus price-${scale.place(value)}` }, svg("title", {}, value === undefined ? bus : `${bus}: ${price(value)}`)),
    svg("text", { x: cx - RADIUS - 5, y: value === undefined ? cy + 4 : cy - 2, "text-anchor": "end", class: "halo name" }, bus),
    value !== undefined && svg("text", { x: cx - RADIUS - 5, y: cy + 13, "text-anchor": "end", class: "halo" }, price(value)));
}

/** Five equal steps from the lowest to the highest price; one step where all are equal. */
function priceScale(values) {
  const low = values.reduce((left, right) => (left < right ? left : right));
  const high = values.reduce((left, right) => (left > right ? left : right));
  const span = high - low;
  const steps = span === 0n ? 1 : COLOURS;
  return {
    place: (value) => (span === 0n ? 2 : Math.min(COLOURS - 1, Number(((value - low) * BigInt(COLOURS)) / span))),
    bounds: Array.from({ length: steps }, (_, step) => [low + (span * BigInt(step)) / BigInt(steps), low + (span * BigInt(step + 1)) / BigInt(steps)]),
  };
}

function legend(scale) {
  const swatch = (kind, words) => h("li", {}, svg("svg", { width: 28, height: 14, "aria-hidden": "true" }, kind), words);
  const line = (level, width) => svg("line", { x1: 1, y1: 7, x2: 27, y2: 7, class: `edge ${level}`, "stroke-width": width });
  const dot = (place) => svg("circle", { cx: 14, cy: 7, r: 6, class: `bus price-${place}` });
  return h("div", { class: "legend" },
    h("p", {}, t("legend_lines")), h("ul", {}, swatch(line("load-low", 4), t("load_low")), swatch(line("load-some", 6), t("load_some")), swatch(line("load-high", 8), t("load_high")), swatch(line("load-full", WIDE), t("load_full"))),
    scale && [h("p", {}, t("legend_prices")), h("ul", {}, scale.bounds.map(([low, high], place) =>
      swatch(dot(scale.bounds.length === 1 ? 2 : place), low === high ? price(low) : `${price(low)} – ${price(high)}`)))]);
}
