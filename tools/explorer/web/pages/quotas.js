// Charging quotas: rounds with their gates, stations with demands, quotas and orders; demanding,
// trading, taking deposits back, and announcing a round.

import { get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { amountOf, callForm, inMinutes, momentOf, redrawOn, wattsOf } from "../core/form.js";
import { duration, energy, integer, money, power, price, time } from "../core/format.js";
import { accountLink, factList, field, mark, moment, section } from "../core/parts.js";
import { walletNotice } from "../core/send.js";
import { getSigned } from "../core/signed.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

const PAGE = 50;
const STAGES = { demand: "good", trade: "good", delivery: "warn", settled: "plain" };
const GATES = [["demand_until_ms", "demand_until", 30], ["trade_until_ms", "trade_until", 60], ["start_ms", "charging_begins", 90],
  ["end_ms", "charging_ends", 150], ["readings_until_ms", "readings_until", 180]];

export async function render(stage, [number], context) {
  return number ? one(stage, number, context) : list(stage, context);
}

async function list(stage, context) {
  const before = context.query.get("before");
  const place = h("div", {});
  let terms = null;
  const draw = async () => {
    const page = await get("/quotas", { limit: PAGE, before });
    terms = page.terms;
    refill(place, roundTable(page.rounds), page.next !== null && h("p", { class: "pager" }, h("a", { class: "button quiet", href: `/quotas?before=${page.next}` }, t("older"))));
  };
  await draw();
  add(stage, h("h1", {}, t("nav_quotas")), h("p", {}, t("quota_words")));
  if (terms === null) {
    add(stage, h("p", { class: "empty" }, t("no_quotas")));
    return t("nav_quotas");
  }
  add(stage, section(t("rounds"), place), section(t("terms"), factList([
    [t("pricing"), t(`pricing_${terms.pricing}`)],
    [t("billed"), duration(terms.billed_minutes * 60_000)],
    [t("deposit"), t("deposit_percent", { percent: integer(terms.deposit_percent) })],
    [t("excess_price"), `${price(terms.penalty_price_micro_per_kwh)} ${t("tokens_per_kwh")}`],
  ])), h("details", {}, h("summary", {}, t("announce_title")), h("p", { class: "note" }, t("for_roles", { roles: "dso" })), walletNotice(), announceForm(draw)));
  redrawOn(context, draw);
  return t("nav_quotas");
}

const roundTable = (rounds) => table({
  caption: t("quota_rounds_caption"), file: "quotas", rows: rounds, empty: t("no_quota_rounds"),
  columns: [
    { title: t("round"), cell: (row) => h("a", { href: `/quotas/${row.number}` }, row.number), plain: (row) => row.number },
    { title: t("state"), cell: (row) => mark(t(`quota_stage_${row.stage}`), STAGES[row.stage]), plain: (row) => row.stage },
    { title: t("capacity"), number: true, cell: (row) => power(row.capacity_w), plain: (row) => row.capacity_w },
    { title: t("demanded"), number: true, cell: (row) => power(row.demand_w), plain: (row) => row.demand_w },
    { title: t("stations"), number: true, cell: (row) => integer(row.stations), plain: (row) => row.stations },
    { title: t("price_per_kwh"), number: true, cell: (row) => price(row.price_micro_per_kwh), plain: (row) => row.price_micro_per_kwh },
    { title: t("charging_begins"), cell: (row) => moment(row.start_ms), plain: (row) => new Date(Number(row.start_ms)).toISOString() },
  ],
});

async function one(stage, number, context) {
  const title = t("quota_title", { number });
  const facts = h("div", {});
  const stations = h("div", {});
  const actions = h("div", {});
  let found = null;
  const draw = async () => {
    const before = found?.stage;
    found = await getSigned(`/quotas/${encodeURIComponent(number)}`);
    refill(facts, roundFacts(found));
    refill(stations, stationTable(found));
    if (before !== found.stage) drawActions();
  };
  const drawActions = () => refill(actions, actionsOf(found, async () => { await draw(); drawActions(); }));
  await draw();
  add(stage, h("h1", {}, title), facts, section(t("stations"), stations), section(t("your_part"), walletNotice(), actions),
    h("p", {}, h("a", { class: "button quiet", href: "/quotas" }, t("all_rounds"))));
  redrawOn(context, draw);
  return title;
}

const roundFacts = (found) => factList([
  [t("state"), mark(t(`quota_stage_${found.stage}`), STAGES[found.stage])],
  [t("announced_by"), accountLink(found.dso, found.dso_name)],
  [t("capacity"), power(found.capacity_w)],
  [t("demanded"), power(found.demand_w)],
  [t("price_per_kwh"), price(found.price_micro_per_kwh)],
  ...GATES.map(([name, words]) => [t(words), [time(found[name]), " (", moment(found[name]), ")"]]),
]);

const stationTable = (found) => table({
  caption: t("stations_caption"), file: `quotas-${found.number}`, rows: found.charging, empty: t("no_stations"),
  columns: [
    { title: t("station"), cell: (row) => accountLink(row.station, row.station_name), plain: (row) => row.station_name ?? row.station },
    { title: t("demanded"), number: true, cell: (row) => power(row.demand_w), plain: (row) => row.demand_w },
    { title: t("quota"), number: true, cell: (row) => power(row.quota_w), plain: (row) => row.quota_w },
    { title: t("order"), cell: (row) => (row.side ? t(`quota_${row.side}`, { power: power(row.order_w), price: price(row.order_price_micro_per_kwh) }) : "–"), plain: (row) => row.side ?? "" },
    { title: t("deposit"), number: true, cell: (row) => money(row.deposit_micro), plain: (row) => row.deposit_micro },
    { title: t("charged"), number: true, cell: (row) => (row.measured_milli_wh === null ? "–" : energy(row.measured_milli_wh)), plain: (row) => row.measured_milli_wh ?? "" },
  ],
});

function actionsOf(found, done) {
  const key = current();
  if (!key) return null;
  const own = found.charging.find((row) => row.station === key.address);
  const round = BigInt(found.number);
  const words = (what, ...more) => [[t("what"), t(what)], [t("round"), integer(round)], ...more];
  const takesBack = own && (found.stage === "settled" || found.stage === "demand");
  const forms = [
    !own && found.stage === "demand" && callForm({
      id: "demand-form", label: t("demand"), done, fields: field({ name: "power", title: t("power_kw"), inputmode: "decimal", required: true, maxlength: 24 }),
      read: (data) => {
        const watts = wattsOf(data, "power", t("power_of_unit"));
        return { calls: [["quota", "demand", [round, watts]]], words: words("demand_words", [t("power_of_unit"), power(watts)]) };
      },
    }),
    own && found.stage === "trade" && callForm({
      id: "quota-order-form", label: t("place_order"), done,
      fields: [field({ name: "side", title: t("side"), options: [["bid", t("buy")], ["offer", t("sell")]] }),
        field({ name: "power", title: t("power_kw"), inputmode: "decimal", required: true, maxlength: 24 }),
        field({ name: "price", title: `${t("field_price")} (${t("tokens_per_kwh")})`, inputmode: "decimal", required: true, maxlength: 24 })],
      read: (data) => {
        const [watts, limit] = [wattsOf(data, "power", t("power_of_unit")), amountOf(data, "price", t("field_price"), { zero: true })];
        return { calls: [["quota", data.get("side"), [round, watts, limit]]],
          words: words(`quota_${data.get("side")}_words`, [t("power_of_unit"), power(watts)], [t("price_per_kwh"), price(limit)]) };
      },
    }),
    own?.side && found.stage === "trade" && callForm({ label: t("cancel_order"), quiet: true, fields: null, done,
      read: () => ({ calls: [["quota", "cancel", [round]]], words: words("quota_cancel_words") }) }),
    takesBack && callForm({ label: t("take_back"), quiet: true, fields: null, done,
      read: () => ({ calls: [["quota", "withdraw", [round]]], words: words("take_back_words", [t("deposit"), money(own.deposit_micro)]) }) }),
  ].filter(Boolean);
  return forms.length > 0 ? h("div", { class: "columns" }, forms) : h("p", { class: "empty" }, t("nothing_to_do_now"));
}

const announceForm = (done) => callForm({
  id: "announce-form", label: t("announce"), done,
  fields: [
    field({ name: "capacity", title: t("capacity_kw"), inputmode: "decimal", required: true, maxlength: 24 }),
    field({ name: "price", title: `${t("field_price")} (${t("tokens_per_kwh")})`, inputmode: "decimal", required: true, maxlength: 24 }),
    GATES.map(([name, words, minutes]) => field({ name, title: t(words), type: "datetime-local", required: true, value: inMinutes(minutes) })),
  ],
  read: (data) => {
    const [watts, limit] = [wattsOf(data, "capacity", t("capacity")), amountOf(data, "price", t("field_price"), { zero: true })];
    const times = GATES.map(([name, words]) => momentOf(data, name, t(words)));
    return { calls: [["quota", "announce", [watts, limit, ...times]]], words: [[t("what"), t("announce_words")], [t("capacity"), power(watts)],
      [t("price_per_kwh"), price(limit)], ...GATES.map(([, words], place) => [t(words), time(times[place])])] };
  },
});
