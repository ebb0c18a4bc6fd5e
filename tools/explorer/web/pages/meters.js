// Meters: what all connections moved together, and, by requests that the opened key signs, the
// readings of a member; allowing others to see one's own.

import { get } from "../core/api.js";
import { lineChart } from "../core/chart.js";
import { accountOfAddress } from "../core/crypto.js";
import { add, h, refill } from "../core/dom.js";
import { callForm, redrawOn } from "../core/form.js";
import { drawn, duration, energy, integer, time } from "../core/format.js";
import { accountLink, factList, field, problem, section } from "../core/parts.js";
import { getSigned } from "../core/signed.js";
import { walletNotice } from "../core/send.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

const PAGE = 96;

export async function render(stage, [who], context) {
  const place = h("div", {});
  const before = context.query.get("before");
  let terms = null;
  const draw = async () => {
    const page = await get("/readings", { limit: PAGE, before });
    terms = page.terms;
    refill(place, await sumChart(page.intervals), sumTable(page.intervals),
      page.next !== null && h("p", { class: "pager" }, h("a", { class: "button quiet", href: `/meters?before=${page.next}` }, t("older"))));
  };
  await draw();
  add(stage, h("h1", {}, t("nav_meters")), h("p", {}, t("meters_words")));
  if (terms === null) {
    add(stage, h("p", { class: "empty" }, t("no_meters")));
    return t("nav_meters");
  }
  const own = h("div", {});
  add(stage, section(t("your_readings"), own), section(t("closed_intervals"), place), section(t("terms"), termFacts(terms)));
  await drawOwn(own, who ?? current()?.address ?? null, context);
  redrawOn(context, draw);
  return t("nav_meters");
}

function termFacts(terms) {
  const minutes = (count) => duration(Number(count) * Number(terms.minute_ms));
  return factList([
    [t("metering_intervals"), minutes(terms.interval_minutes)],
    [t("estimates_after"), minutes(terms.deadline_minutes)],
    [t("corrections_until"), minutes(terms.correction_minutes)],
    [t("readable_days"), integer(terms.retention_days)],
  ]);
}

function sumChart(intervals) {
  const known = intervals.filter((row) => row.injected_milli_wh !== null).reverse();
  return known.length > 1 && energyChart(t("closed_intervals"), known);
}

const energyChart = (title, rows) => lineChart({
  title, yTitle: "kWh",
  series: [["withdrawn", "withdrawn_milli_wh"], ["injected", "injected_milli_wh"]].map(([name, column]) => (
    { name: t(name), step: "step-after", points: rows.map((row) => [Number(row.start_ms), drawn(row[column])]) })),
});

const sum = (amount) => (amount === null ? t("too_few") : energy(amount));

const sumTable = (intervals) => table({
  caption: t("closed_caption"), file: "closed-intervals", rows: intervals, empty: t("no_closed_intervals"),
  columns: [
    { title: t("interval_begins"), cell: (row) => time(row.start_ms), plain: (row) => new Date(Number(row.start_ms)).toISOString() },
    { title: t("connections"), number: true, cell: (row) => integer(row.connections), plain: (row) => row.connections },
    { title: t("estimated"), number: true, cell: (row) => integer(row.estimated), plain: (row) => row.estimated },
    { title: t("injected"), number: true, cell: (row) => sum(row.injected_milli_wh), plain: (row) => row.injected_milli_wh ?? "" },
    { title: t("withdrawn"), number: true, cell: (row) => sum(row.withdrawn_milli_wh), plain: (row) => row.withdrawn_milli_wh ?? "" },
  ],
});

async function drawOwn(place, who, context) {
  const key = current();
  if (!key) {
    refill(place, walletNotice(), h("p", {}, t("readings_open_key")));
    return;
  }
  const answer = h("div", {});
  const look = (event) => {
    event.preventDefault();
    context.go(`/meters/${encodeURIComponent(new FormData(event.target).get("who").trim())}`);
  };
  refill(place, h("form", { class: "row", onsubmit: look },
    field({ name: "who", title: t("readings_of"), value: who, required: true, maxlength: 42, spellcheck: "false" }),
    h("button", { type: "submit", class: "quiet" }, t("show"))), answer, readerForm());
  try {
    const found = await getSigned(`/readings/${encodeURIComponent(who)}`, { limit: PAGE });
    const known = found.readings.filter((row) => row.quality !== "none");
    refill(answer, found.connection && factList([
      [t("meter"), accountLink(found.connection.meter, found.connection.meter_name)],
    ]), known.length > 1 && await energyChart(t("your_readings"), known), readingTable(known));
  } catch (error) {
    refill(answer, problem(error));
  }
}

const readingTable = (rows) => table({
  caption: t("readings_caption"), file: "readings", rows: [...rows].reverse(), empty: t("no_readings"),
  columns: [
    { title: t("interval_begins"), cell: (row) => time(row.start_ms), plain: (row) => new Date(Number(row.start_ms)).toISOString() },
    { title: t("injected"), number: true, cell: (row) => energy(row.injected_milli_wh), plain: (row) => row.injected_milli_wh },
    { title: t("withdrawn"), number: true, cell: (row) => energy(row.withdrawn_milli_wh), plain: (row) => row.withdrawn_milli_wh },
    { title: t("quality"), cell: (row) => t(`quality_${row.quality}`), plain: (row) => row.quality },
  ],
});

const readerForm = () => h("details", {}, h("summary", {}, t("readers")), callForm({
  id: "reader-form", label: t("readers"),
  fields: [field({ name: "reader", title: t("recipient_note"), required: true, maxlength: 42, spellcheck: "false" }),
    field({ name: "choice", title: t("reader_what"), options: ["allow", "forbid"].map((name) => [name, t(`reader_${name}`)]) })],
  read: async (data) => {
    const account = await get(`/accounts/${encodeURIComponent(String(data.get("reader")).trim())}`);
    const choice = data.get("choice");
    return { calls: [["meters", `${choice}_reader`, [await accountOfAddress(account.address)]]],
      words: [[t("what"), t(`reader_words_${choice}`, { name: account.name ?? account.address })], [t("address"), h("code", {}, account.address)]] };
  },
}));
