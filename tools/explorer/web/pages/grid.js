// Grid: the feeder drawn from its graph, lines coloured by how full they are.

import { get } from "../core/api.js";
import { add, h, refill, svg } from "../core/dom.js";
import { energy, integer, power } from "../core/format.js";
import { accountLink, field, problem, section } from "../core/parts.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { chooseMarket, intervalWords, marketLinks } from "./market.js";

const HOURS_AROUND = 12;
const GAP_X = 120;
const GAP_Y = 90;
const LEVELS = [[0.5, "first"], [0.9, "third"], [Infinity, "second"]];

export async function render(stage, [name], context) {
  const { markets, market: named } = await chooseMarket(name);
  const market = named.lines > 0 || name ? named : markets.find((one) => one.lines > 0) ?? named;
  const place = h("div", {});
  const words = h("p", { role: "status" });
  add(stage, h("h1", {}, t("grid_title", { market: market.name })), marketLinks(markets, market, "grid"));
  if (market.lines === 0) {
    add(stage, h("p", { class: "empty" }, t("no_network")));
    return t("grid_title", { market: market.name });
  }
  let interval = Number(market.open_interval);
  const draw = async () => {
    const found = await get(`/markets/${market.name}/lines`, { interval });
    words.textContent = intervalWords(market, interval);
    refill(place, drawing(found.lines), lineTable(market, found.lines));
  };
  const choose = (event) => {
    interval = Number(market.open_interval) + Number(event.target.value);
    draw().catch((error) => refill(place, problem(error)));
  };
  add(stage, market.interval_minutes > 0 && field({
    name: "interval", title: t("interval"), type: "range", min: -HOURS_AROUND, max: HOURS_AROUND, value: 0, oninput: choose,
  }), words, place);
  await draw();
  context.listen((message) => {
    if (message.type === "block" || message.type === "mended") draw().catch(() => {});
  });
  return t("grid_title", { market: market.name });
}

const share = (line) => (line.limit_milli_wh === null || BigInt(line.limit_milli_wh) === 0n ? 0 : Number(line.used_milli_wh) / Number(line.limit_milli_wh));

/** Places of the buses: depth downwards, siblings side by side. */
export function layout(lines) {
  const around = new Map();
  for (const line of lines) {
    for (const [bus, other] of [[line.from_bus, line.to_bus], [line.to_bus, line.from_bus]]) {
      around.set(bus, [...(around.get(bus) ?? []), other]);
    }
  }
  const places = new Map();
  let column = 0;
  const put = (bus, depth) => {
    places.set(bus, { depth, x: 0 });
    const below = around.get(bus).filter((other) => !places.has(other));
    const columns = below.map((other) => (places.has(other) ? null : put(other, depth + 1))).filter((x) => x !== null);
    const x = columns.length > 0 ? (columns[0] + columns.at(-1)) / 2 : column++;
    places.get(bus).x = x;
    return x;
  };
  for (const bus of around.keys()) if (!places.has(bus)) put(bus, 0);
  return places;
}

function drawing(lines) {
  const places = layout(lines);
  const at = (bus) => [60 + places.get(bus).x * GAP_X, 40 + places.get(bus).depth * GAP_Y];
  const wide = 120 + Math.max(...[...places.values()].map((one) => one.x)) * GAP_X;
  const high = 80 + Math.max(...[...places.values()].map((one) => one.depth)) * GAP_Y;
  const edges = lines.map((line) => {
    const [x1, y1] = at(line.from_bus);
    const [x2, y2] = at(line.to_bus);
    const kind = LEVELS.find(([limit]) => share(line) < limit)[1];
    return [
      svg("line", { x1, y1, x2, y2, class: kind, "stroke-width": 3 + 6 * Math.min(share(line), 1) },
        svg("title", {}, `${line.name}: ${energy(line.used_milli_wh)} ${line.limit_milli_wh === null ? "" : `/ ${energy(line.limit_milli_wh)}`}`)),
      svg("text", { x: (x1 + x2) / 2 + 8, y: (y1 + y2) / 2 }, `${line.name} ${integer(Math.round(share(line) * 100))} %`),
    ];
  });
  const buses = [...places.keys()].map((bus) => {
    const [cx, cy] = at(bus);
    return [svg("circle", { cx, cy, r: 9, class: "bus" }), svg("text", { x: cx + 13, y: cy - 9 }, bus)];
  });
  return h("figure", { class: "chart" }, h("figcaption", {}, t("grid_words")),
    svg("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, class: "natural", role: "img", "aria-label": t("grid_words") }, edges, buses));
}

function lineTable(market, lines) {
  return section(t("lines"), table({
    caption: t("lines_caption"),
    file: `lines-${market.name}`,
    rows: lines,
    columns: [
      { title: t("line"), cell: (row) => row.name },
      { title: t("from_to"), cell: (row) => `${row.from_bus} – ${row.to_bus}` },
      { title: t("rating"), number: true, cell: (row) => (row.rating_w === null ? t("no_limit") : power(row.rating_w)), plain: (row) => row.rating_w ?? "" },
      { title: t("flow"), number: true, cell: (row) => energy(row.flow_milli_wh), plain: (row) => row.flow_milli_wh },
      { title: t("limit"), number: true, cell: (row) => (row.limit_milli_wh === null ? t("no_limit") : energy(row.limit_milli_wh)), plain: (row) => row.limit_milli_wh ?? "" },
      { title: t("owner"), cell: (row) => accountLink(row.owner, row.owner_name), plain: (row) => row.owner_name ?? "" },
    ],
  }));
}
