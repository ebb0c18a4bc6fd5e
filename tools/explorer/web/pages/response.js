// Demand response: rounds of two settlements, and events that call for another demand; ordering,
// giving up, promising, and opening or calling them.

import { get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { amountOf, callForm, inMinutes, momentOf, redrawOn } from "../core/form.js";
import { energy, integer, money, price, time } from "../core/format.js";
import { accountLink, blockLink, factList, field, mark, moment, section } from "../core/parts.js";
import { walletNotice } from "../core/send.js";
import { getSigned } from "../core/signed.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { halfPrice } from "./auctions.js";

const PAGE = 50;
const RESULTS = 20;
const priceTitle = () => `${t("field_price")} (${t("tokens_per_kwh")})`;
const energyField = (name) => field({ name, title: `${t("field_energy")} (kWh)`, inputmode: "decimal", required: true, maxlength: 24 });
const priceField = (name, title = priceTitle()) => field({ name, title, inputmode: "decimal", required: true, maxlength: 24 });
const momentField = (name, words, minutes) => field({ name, title: t(words), type: "datetime-local", required: true, value: inMinutes(minutes) });

export async function render(stage, [kind, number], context) {
  if (kind === "round" && number) return round(stage, number, context);
  if (kind === "event" && number) return event(stage, number, context);
  return list(stage, context);
}

async function list(stage, context) {
  const [rounds, events, results] = Array.from({ length: 3 }, () => h("div", {}));
  let terms = null;
  const draw = async () => {
    const [open, called, told] = await Promise.all([get("/response/rounds", { limit: PAGE }), get("/response/events", { limit: PAGE }),
      get("/modules/response/events", { event: "price", limit: RESULTS })]);
    terms = open.terms;
    refill(rounds, roundTable(open.rounds));
    refill(events, eventTable(called.events));
    refill(results, resultTable(told.events));
  };
  await draw();
  add(stage, h("h1", {}, t("nav_response")), h("p", {}, t("response_words")));
  if (terms === null) {
    add(stage, h("p", { class: "empty" }, t("no_response")));
    return t("nav_response");
  }
  add(stage, section(t("response_rounds"), rounds), section(t("response_events"), events), section(t("first_prices"), results),
    section(t("terms"), termFacts(terms)),
    h("details", {}, h("summary", {}, t("open_or_call")), h("p", { class: "note" }, t("for_roles", { roles: "operator, dso, aggregator" })), walletNotice(),
      h("div", { class: "columns" }, section(t("open_round"), openForm(draw)), section(t("call_event"), callEventForm(draw)))));
  redrawOn(context, draw);
  return t("nav_response");
}

const termFacts = (terms) => factList([
  [t("upstream_price"), `${price(terms.upstream_price_micro_per_kwh)} ${t("tokens_per_kwh")}`],
  [t("response_price"), t("alpha_words", { percent: integer(terms.alpha_percent) })],
  [t("baseline"), terms.highest ? t("baseline_highest", { highest: integer(terms.highest), past: integer(terms.past_intervals) }) : t("baseline_mean", { past: integer(terms.past_intervals) })],
  [t("tolerance"), `${integer(terms.tolerance_percent)} %`],
  [t("fractions_to"), accountLink(terms.account, terms.account_name)],
]);

const roundTable = (rounds) => table({
  caption: t("response_rounds_caption"), file: "response-rounds", rows: rounds, empty: t("no_open_rounds"),
  columns: [
    { title: t("round"), cell: (row) => h("a", { href: `/response/round/${row.number}` }, row.number), plain: (row) => row.number },
    { title: t("state"), cell: (row) => mark(t(`response_stage_${row.stage}`), "good"), plain: (row) => row.stage },
    { title: t("orders_until"), cell: (row) => moment(row.orders_until_ms), plain: (row) => new Date(Number(row.orders_until_ms)).toISOString() },
    { title: t("responses_until"), cell: (row) => moment(row.responses_until_ms), plain: (row) => new Date(Number(row.responses_until_ms)).toISOString() },
    { title: t("members"), number: true, cell: (row) => integer(row.members), plain: (row) => row.members },
  ],
});

const eventTable = (events) => table({
  caption: t("response_events_caption"), file: "response-events", rows: events, empty: t("no_called_events"),
  columns: [
    { title: t("event"), cell: (row) => h("a", { href: `/response/event/${row.number}` }, row.number), plain: (row) => row.number },
    { title: t("called_by"), cell: (row) => accountLink(row.caller, row.caller_name), plain: (row) => row.caller_name ?? row.caller },
    { title: t("direction"), cell: (row) => t(`direction_${row.direction}`), plain: (row) => row.direction },
    { title: t("still_called_for"), cell: (row) => row.profile_left_milli_wh.map(energy).join(", ") },
    { title: t("reward_per_kwh"), number: true, cell: (row) => price(row.price_micro_per_kwh), plain: (row) => row.price_micro_per_kwh },
    { title: t("enrol_until"), cell: (row) => moment(row.enrol_until_ms), plain: (row) => new Date(Number(row.enrol_until_ms)).toISOString() },
    { title: t("members"), number: true, cell: (row) => integer(row.members), plain: (row) => row.members },
  ],
});

const resultTable = (events) => table({
  caption: t("first_prices_caption"), file: "response-prices", rows: events,
  columns: [
    { title: t("round"), cell: (row) => row.fields.round },
    { title: t("block"), cell: (row) => blockLink(row.height), plain: (row) => row.height },
    { title: t("price_per_kwh"), number: true, cell: (row) => halfPrice(row.fields.price_half_micro_per_kwh) },
    { title: t("response_price"), number: true, cell: (row) => halfPrice(row.fields.response_price_half_micro_per_kwh) },
  ],
});

async function round(stage, number, context) {
  const title = t("response_round_title", { number });
  const [facts, orders, actions] = Array.from({ length: 3 }, () => h("div", {}));
  let found = null;
  const drawActions = () => refill(actions, roundActions(found, async () => { await draw(); drawActions(); }));
  const draw = async () => {
    const before = found?.stage;
    found = await get(`/response/rounds/${encodeURIComponent(number)}`);
    refill(facts, factList([
      [t("state"), mark(t(`response_stage_${found.stage}`), "good")],
      [t("orders_until"), [time(found.orders_until_ms), " (", moment(found.orders_until_ms), ")"]],
      [t("responses_until"), [time(found.responses_until_ms), " (", moment(found.responses_until_ms), ")"]],
      found.response_price_half_micro_per_kwh !== null && [t("response_price"), halfPrice(found.response_price_half_micro_per_kwh)],
    ]));
    refill(orders, orderTable(found));
    if (before !== found.stage) drawActions();
  };
  await draw();
  add(stage, h("h1", {}, title), facts, section(t("orders"), orders), section(t("your_part"), walletNotice(), actions),
    h("p", {}, h("a", { class: "button quiet", href: "/response" }, t("all_rounds"))));
  redrawOn(context, draw);
  return title;
}

const orderTable = (found) => table({
  caption: t("response_orders_caption"), file: `response-round-${found.number}`, rows: found.orders, empty: t("empty_book"),
  columns: [
    { title: t("member"), cell: (row) => accountLink(row.member, row.member_name), plain: (row) => row.member_name ?? row.member },
    { title: t("side"), cell: (row) => t(row.side), plain: (row) => row.side },
    { title: t("not_traded"), number: true, cell: (row) => energy(row.energy_milli_wh), plain: (row) => row.energy_milli_wh },
    { title: t("price_per_kwh"), number: true, cell: (row) => price(row.price_micro_per_kwh), plain: (row) => row.price_micro_per_kwh },
    { title: t("bought"), number: true, cell: (row) => energy(row.bought_milli_wh), plain: (row) => row.bought_milli_wh },
    { title: t("given_up"), number: true, cell: (row) => energy(row.given_up_milli_wh), plain: (row) => row.given_up_milli_wh },
  ],
});

function roundActions(found, done) {
  const key = current();
  if (!key) return null;
  const own = found.orders.find((row) => row.member === key.address);
  const number = BigInt(found.number);
  const words = (what, amount, limit) => [[t("what"), t(what)], [t("round"), integer(number)], amount !== undefined && [t("field_energy"), energy(amount)], limit !== undefined && [t("price_per_kwh"), price(limit)]];
  if (found.stage === "orders" && !own) {
    return callForm({
      id: "response-order-form", label: t("place_order"), done,
      fields: [field({ name: "side", title: t("side"), options: [["want", t("buy")], ["supply", t("sell")]] }), energyField("energy"), priceField("price")],
      read: (data) => {
        const [amount, limit] = [amountOf(data, "energy", t("field_energy")), amountOf(data, "price", t("field_price"), { zero: true })];
        return { calls: [["response", data.get("side"), [number, amount, limit]]], words: words(`response_${data.get("side")}_words`, amount, limit) };
      },
    });
  }
  if (found.stage === "orders") {
    return callForm({ label: t("cancel_order"), quiet: true, fields: null, done, read: () => ({ calls: [["response", "retract", [number]]], words: words("response_retract_words") }) });
  }
  if (!own || own.side !== "buy") return h("p", { class: "empty" }, t("nothing_to_do_now"));
  return callForm({
    id: "reduce-form", label: t("give_up"), done, fields: [energyField("energy"), priceField("price")],
    read: (data) => {
      const [amount, limit] = [amountOf(data, "energy", t("field_energy"), { zero: true }), amountOf(data, "price", t("field_price"), { zero: true })];
      return { calls: [["response", "reduce", [number, amount, limit]]], words: words("give_up_words", amount, limit) };
    },
  });
}

async function event(stage, number, context) {
  const title = t("response_event_title", { number });
  const [facts, enrolled, actions] = Array.from({ length: 3 }, () => h("div", {}));
  let found = null;
  const draw = async () => {
    found = await getSigned(`/response/events/${encodeURIComponent(number)}`);
    refill(facts, eventFacts(found));
    refill(enrolled, enrolledTable(found));
  };
  const drawActions = () => refill(actions, enrolForm(found, async () => { await draw(); drawActions(); }));
  await draw();
  drawActions();
  add(stage, h("h1", {}, title), facts, section(t("enrolled"), enrolled), section(t("your_part"), walletNotice(), actions),
    h("p", {}, h("a", { class: "button quiet", href: "/response" }, t("all_events"))));
  redrawOn(context, draw);
  return title;
}

const eventFacts = (found) => factList([
  [t("called_by"), accountLink(found.caller, found.caller_name)],
  [t("direction"), t(`direction_${found.direction}`)],
  [t("still_called_for"), found.profile_left_milli_wh.map(energy).join(", ")],
  [t("reward_per_kwh"), price(found.price_micro_per_kwh)],
  [t("penalty_per_kwh"), price(found.penalty_price_micro_per_kwh)],
  ...[["enrol_until_ms", "enrol_until"], ["start_ms", "begins"], ["end_ms", "ends"], ["readings_until_ms", "readings_until"]]
    .map(([name, words]) => [t(words), [time(found[name]), " (", moment(found[name]), ")"]]),
  [t("money_reserved"), money(found.reserve_micro)],
]);

const energies = (list) => (list ?? []).map(energy).join(", ") || "–";

const enrolledTable = (found) => table({
  caption: t("enrolled_caption"), file: `response-event-${found.number}`, rows: found.enrolled, empty: t("nobody_enrolled"),
  columns: [
    { title: t("member"), cell: (row) => accountLink(row.member, row.member_name), plain: (row) => row.member_name ?? row.member },
    { title: t("promised"), cell: (row) => energies(row.promised_milli_wh) },
    { title: t("baseline"), cell: (row) => energies(row.baseline_milli_wh) },
    { title: t("measured"), cell: (row) => energies(row.measured_milli_wh) },
    { title: t("deposit"), number: true, cell: (row) => money(row.deposit_micro), plain: (row) => row.deposit_micro },
  ],
});

function enrolForm(found, done) {
  const key = current();
  if (!key) return null;
  const isEnrolled = found.enrolled.some((row) => row.member === key.address);
  if (isEnrolled || Date.now() >= Number(found.enrol_until_ms)) return h("p", { class: "empty" }, t(isEnrolled ? "you_enrolled" : "nothing_to_do_now"));
  return callForm({
    id: "enrol-form", label: t("enrol"), done,
    fields: found.profile_left_milli_wh.map((left, place) => field({ name: `promise-${place}`, title: t("promise_in", { number: place + 1 }), note: t("at_most", { amount: energy(left) }), inputmode: "decimal", required: true, value: "0", maxlength: 24 })),
    read: (data) => {
      const promised = found.profile_left_milli_wh.map((_, place) => amountOf(data, `promise-${place}`, t("promised"), { zero: true }));
      return { calls: [["response", "enrol", [BigInt(found.number), promised]]],
        words: [[t("what"), t("enrol_words")], [t("event"), integer(found.number)], [t("promised"), energies(promised)]] };
    },
  });
}

const openForm = (done) => callForm({
  id: "open-form", label: t("open_round"), done, fields: [momentField("orders", "orders_until", 30), momentField("responses", "responses_until", 60)],
  read: (data) => {
    const times = [momentOf(data, "orders", t("orders_until")), momentOf(data, "responses", t("responses_until"))];
    return { calls: [["response", "open", times]], words: [[t("what"), t("open_round_words")], [t("orders_until"), time(times[0])], [t("responses_until"), time(times[1])]] };
  },
});

const EVENT_TIMES = [["enrol", "enrol_until", 30], ["start", "begins", 60], ["end", "ends", 120], ["readings", "readings_until", 150]];

const callEventForm = (done) => callForm({
  id: "call-form", label: t("call_event"), done,
  fields: [
    field({ name: "direction", title: t("direction"), options: [["down", t("direction_down")], ["up", t("direction_up")]] }),
    field({ name: "profile", title: t("profile_kwh"), note: t("profile_note"), required: true, maxlength: 200 }),
    priceField("reward", t("reward_per_kwh")), priceField("fine", t("penalty_per_kwh")),
    EVENT_TIMES.map(([name, words, minutes]) => momentField(name, words, minutes)),
  ],
  read: (data) => {
    const parts = String(data.get("profile")).split(";").map((text) => text.trim());
    const profile = parts.map((text) => amountOf(new Map([["profile", text]]), "profile", t("profile_kwh"), { zero: true }));
    const [reward, fine] = [amountOf(data, "reward", t("reward_per_kwh"), { zero: true }), amountOf(data, "fine", t("penalty_per_kwh"), { zero: true })];
    const times = EVENT_TIMES.map(([name, words]) => momentOf(data, name, t(words)));
    return { calls: [["response", "call", [data.get("direction"), profile, reward, fine, ...times]]], words: [[t("what"), t("call_event_words")],
      [t("direction"), t(`direction_${data.get("direction")}`)], [t("still_called_for"), energies(profile)], [t("reward_per_kwh"), price(reward)],
      [t("penalty_per_kwh"), price(fine)], ...EVENT_TIMES.map(([, words], place) => [t(words), time(times[place])])] };
  },
});
