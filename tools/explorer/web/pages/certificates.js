// Certificates of origin: plants, the lots that stand, and one's own; giving and retiring them.

import { all, get } from "../core/api.js";
import { accountOfAddress } from "../core/crypto.js";
import { add, h, refill } from "../core/dom.js";
import { callForm, redrawOn } from "../core/form.js";
import { duration, energy, integer, money, power, time } from "../core/format.js";
import { accountLink, factList, field, moment, problem, section } from "../core/parts.js";
import { walletNotice } from "../core/send.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

const PAGE = 100;
const MINUTE_MS = 60_000;

export async function render(stage, _rest, context) {
  const [lots, plants, own] = Array.from({ length: 3 }, () => h("div", {}));
  const after = context.query.get("after");
  let terms = null;
  const draw = async () => {
    const [page, registered] = await Promise.all([get("/certificates", { limit: PAGE, after }), get("/certificates/plants", { limit: PAGE })]);
    terms = page.terms;
    refill(lots, lotTable(page.certificates, "certificates"), page.next !== null && h("p", { class: "pager" },
      h("a", { class: "button quiet", href: `/certificates?after=${page.next}` }, t("more"))));
    refill(plants, plantTable(registered.plants));
  };
  await draw();
  add(stage, h("h1", {}, t("nav_certificates")), h("p", {}, t("certificates_words")));
  if (terms === null) {
    add(stage, h("p", { class: "empty" }, t("no_certificates")));
    return t("nav_certificates");
  }
  const redraw = async () => { await Promise.all([draw(), drawOwn(own, redraw)]); };
  add(stage, section(t("your_certificates"), walletNotice(), own), section(t("lots"), lots), section(t("plants"), plants), section(t("terms"), termFacts(terms)));
  await drawOwn(own, redraw).catch((error) => refill(own, problem(error)));
  redrawOn(context, draw);
  return t("nav_certificates");
}

const termFacts = (terms) => factList([
  [t("certificate_unit"), energy(terms.unit_milli_wh)],
  [t("valid_for"), duration(Number(terms.validity_minutes) * MINUTE_MS)],
  [t("technologies"), terms.technologies.join(", ") || "–"],
  terms.market && [t("market"), h("bdi", {}, terms.market)],
  [t("coins_earned"), `${money(terms.earned_micro_per_kwh)} ${t("per_kwh")}`],
  [t("coins_lost"), `${money(terms.lost_micro_per_kwh)} ${t("per_kwh")}`],
]);

const lotTable = (lots, file) => table({
  caption: t("lots_caption"), file, rows: lots, empty: t("no_lots"),
  columns: [
    { title: t("lot"), cell: (row) => row.lot },
    { title: t("plant"), cell: (row) => h("bdi", {}, row.plant), plain: (row) => row.plant },
    { title: t("owner"), cell: (row) => accountLink(row.owner, row.owner_name), plain: (row) => row.owner_name ?? row.owner },
    { title: t("technology"), cell: (row) => row.technology },
    { title: t("certificates"), number: true, cell: (row) => integer(row.count), plain: (row) => row.count },
    { title: t("energy"), number: true, cell: (row) => energy(BigInt(row.count) * BigInt(row.unit_milli_wh)), plain: (row) => BigInt(row.count) * BigInt(row.unit_milli_wh) },
    { title: t("produced"), cell: (row) => `${time(row.produced_from_ms)} – ${time(row.produced_until_ms)}`, plain: (row) => new Date(Number(row.produced_from_ms)).toISOString() },
    { title: t("expires"), cell: (row) => moment(row.expires_ms), plain: (row) => new Date(Number(row.expires_ms)).toISOString() },
  ],
});

const plantTable = (plants) => table({
  caption: t("plants_caption"), file: "plants", rows: plants, empty: t("no_plants"),
  columns: [
    { title: t("plant"), cell: (row) => h("bdi", {}, row.plant), plain: (row) => row.plant },
    { title: t("owner"), cell: (row) => accountLink(row.owner, row.owner_name), plain: (row) => row.owner_name ?? row.owner },
    { title: t("measured_at"), cell: (row) => accountLink(row.member, row.member_name), plain: (row) => row.member_name ?? row.member },
    { title: t("technology"), cell: (row) => row.technology },
    { title: t("capacity"), number: true, cell: (row) => power(row.capacity_w), plain: (row) => row.capacity_w },
    { title: t("issued"), number: true, cell: (row) => integer(row.issued), plain: (row) => row.issued },
    { title: t("state"), cell: (row) => (row.end === null ? t("in_service") : t("closed")), plain: (row) => (row.end === null ? "in service" : "closed") },
  ],
});

async function drawOwn(place, done) {
  const key = current();
  if (!key) return;
  const lots = await all("/certificates", "certificates", { owner: key.address }, { most: 200 });
  refill(place, lotTable(lots, "own-certificates"), lots.length > 0 && h("div", { class: "columns" }, giveForm(lots, done), retireForm(lots, done)),
    h("details", {}, h("summary", {}, t("coins")), h("p", { class: "note" }, t("coins_words")),
      h("div", { class: "row" }, ["enrol", "leave"].map((method) => callForm({
        label: t(`coins_${method}`), inline: true, quiet: true, fields: null,
        read: () => ({ calls: [["certificates", method, []]], words: [[t("what"), t(`coins_${method}_words`)]] }),
      })))));
}

const lotField = (prefix, lots) => field({ name: `${prefix}-lot`, title: t("lot"), options: lots.map((lot) => [lot.lot, `${lot.lot}: ${lot.plant}, ${integer(lot.count)}`]) });
const countField = (prefix) => field({ name: `${prefix}-count`, title: t("certificates"), type: "number", min: 1, required: true });

const giveForm = (lots, done) => section(t("give"), callForm({
  id: "give-form", label: t("give"), done,
  fields: [lotField("give", lots), countField("give"), field({ name: "to", title: t("recipient"), note: t("recipient_note"), required: true, maxlength: 42, spellcheck: "false" })],
  read: async (data) => {
    const account = await get(`/accounts/${encodeURIComponent(String(data.get("to")).trim())}`);
    const [lot, count] = [BigInt(data.get("give-lot")), BigInt(data.get("give-count"))];
    return { calls: [["certificates", "transfer", [lot, count, await accountOfAddress(account.address)]]],
      words: [[t("what"), t("give_words")], [t("lot"), integer(lot)], [t("certificates"), integer(count)], [t("recipient"), [h("bdi", {}, account.name ?? ""), " ", h("code", {}, account.address)]]] };
  },
}));

const retireForm = (lots, done) => section(t("retire"), callForm({
  id: "retire-form", label: t("retire"), done,
  fields: [lotField("retire", lots), countField("retire"), field({ name: "beneficiary", title: t("beneficiary"), note: t("beneficiary_note"), required: true, maxlength: 64 }),
    field({ name: "purpose", title: t("what_for"), maxlength: 64 })],
  read: (data) => {
    const [lot, count] = [BigInt(data.get("retire-lot")), BigInt(data.get("retire-count"))];
    const [beneficiary, purpose] = [String(data.get("beneficiary")), String(data.get("purpose"))];
    return { calls: [["certificates", "retire", [lot, count, beneficiary, purpose]]],
      words: [[t("what"), t("retire_words")], [t("lot"), integer(lot)], [t("certificates"), integer(count)], [t("beneficiary"), h("bdi", {}, beneficiary)], purpose && [t("what_for"), h("bdi", {}, purpose)]] };
  },
}));
