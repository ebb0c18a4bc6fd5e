// Charts by D3, which is loaded when the first one is drawn. Each chart has a title and a sentence
// for those who do not see it; the table beside it has its figures.

import { h } from "./dom.js";
import { locale, t } from "./text.js";

const WIDE = 720;
// On a phone a chart is drawn narrower, so that its words stay legible.
const NARROW = 400;
const PHONE = 640;
const HEIGHT = 240;
const MARGIN = { top: 14, right: 20, bottom: 30, left: 64 };
const MOST_DOTS = 60;
const LIBRARY = "/lib/d3.js";
let loading = null;

// The one script that a page may add: the content policy lets no other be named.
const scripts = globalThis.trustedTypes?.createPolicy("charts", { createScriptURL: () => LIBRARY });

/** D3, loaded once from the node. */
export function loadD3() {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script");
    script.src = scripts ? scripts.createScriptURL(LIBRARY) : LIBRARY;
    script.addEventListener("load", () => resolve(globalThis.d3));
    script.addEventListener("error", () => reject(new Error(t("no_charts"))));
    document.head.append(script);
  });
  return loading;
}

const numbers = (value) => new Intl.NumberFormat(locale(), { maximumSignificantDigits: 5 }).format(value);

/** Draw lines. series: [{name, points [[x, y]…], step, filled}]; x is a time in ms, or a number.
 *  `fromZero` has the vertical axis begin at 0. */
export async function lineChart({ title, series, x = "time", yTitle, xTitle = "", fromZero = true }) {
  const d3 = await loadD3();
  const figure = h("figure", { class: "chart" }, h("figcaption", {}, `${title} (${yTitle})`));
  const drawn = series.filter((one) => one.points.length > 0);
  if (drawn.length === 0) {
    figure.append(h("p", { class: "empty" }, t("nothing_here")));
    return figure;
  }
  const width = innerWidth < PHONE ? NARROW : WIDE;
  const points = drawn.flatMap((one) => one.points);
  const across = (x === "time" ? d3.time.scale() : d3.scale.linear())
    .domain(spread(d3.extent(points, (point) => point[0]), x === "time" ? 60_000 : 1)).range([MARGIN.left, width - MARGIN.right]);
  const up = d3.scale.linear().domain(spread(d3.extent([...points.map((point) => point[1]), ...(fromZero ? [0] : [])]), 1)).nice()
    .range([HEIGHT - MARGIN.bottom, MARGIN.top]);
  const canvas = frame(d3, figure, `${title}. ${describe(drawn)}`, width);
  axes(d3, canvas, across, up, { x, xTitle, width });
  drawn.forEach((one, place) => {
    const kind = ["first", "second", "third"][place % 3];
    const line = d3.svg.line().x((point) => across(point[0])).y((point) => up(point[1]));
    if (one.step) line.interpolate(one.step);
    if (one.filled) {
      const area = d3.svg.area().x((point) => across(point[0])).y0(up(0)).y1((point) => up(point[1]));
      if (one.step) area.interpolate(one.step);
      canvas.append("path").attr("class", `area ${kind}`).attr("d", area(one.points));
    }
    canvas.append("path").attr("class", `line ${kind}`).attr("d", line(one.points));
    if (one.points.length <= MOST_DOTS && !one.step) {
      for (const point of one.points) {
        canvas.append("circle").attr("class", `dot ${kind}`).attr("cx", across(point[0])).attr("cy", up(point[1])).attr("r", 3);
      }
    }
    if (drawn.length > 1) {
      canvas.append("text").attr("x", width - MARGIN.right).attr("y", MARGIN.top + 14 * (place + 1))
        .attr("text-anchor", "end").text(`${["━", "┅", "┉"][place % 3]} ${one.name}`);
    }
  });
  return figure;
}

function frame(d3, figure, words, width) {
  return d3.select(figure).append("svg").attr("viewBox", `0 0 ${width} ${HEIGHT}`).attr("role", "img").attr("aria-label", words);
}

function axes(d3, canvas, across, up, { x, xTitle, width }) {
  const bottom = d3.svg.axis().scale(across).orient("bottom").ticks(width === NARROW ? 3 : 5);
  bottom.tickFormat(x === "time" ? timeTick(across.domain()) : numbers);
  canvas.append("g").attr("class", "axis").attr("transform", `translate(0,${HEIGHT - MARGIN.bottom})`).call(bottom);
  canvas.append("g").attr("class", "axis").attr("transform", `translate(${MARGIN.left},0)`)
    .call(d3.svg.axis().scale(up).orient("left").ticks(5).tickFormat(numbers));
  canvas.append("text").attr("x", width - MARGIN.right).attr("y", HEIGHT - MARGIN.bottom - 5).attr("text-anchor", "end").text(xTitle);
}

function timeTick([first, last]) {
  const isLong = last - first > 36 * 3_600_000;
  const style = isLong ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", second: last - first < 600_000 ? "2-digit" : undefined };
  const names = new Intl.DateTimeFormat(locale(), style);
  return (moment) => names.format(moment);
}

function spread([low, high], least) {
  return low === high ? [low - least, high + least] : [low, high];
}

function describe(series) {
  return series.map((one) => {
    const values = one.points.map((point) => point[1]);
    return t("chart_words", { name: one.name, count: values.length, low: numbers(Math.min(...values)), high: numbers(Math.max(...values)), last: numbers(values.at(-1)) });
  }).join(" ");
}
