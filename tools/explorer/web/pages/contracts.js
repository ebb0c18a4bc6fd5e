// Contracts: what is deployed, its source and interface, what it tells; views read, functions called.

import { get } from "../core/api.js";
import { accountOfAddress } from "../core/crypto.js";
import { add, h, refill } from "../core/dom.js";
import { energy, energyOrNone, integer, money, parseAmount } from "../core/format.js";
import { accountLink, blockLink, factList, field, mark, moment, problem, section, transactionLink } from "../core/parts.js";
import { send, walletNotice } from "../core/send.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { encodeValue, readTyped, typeWords } from "../core/values.js";

const PAGE = 50;
const EVENTS = 20;
const PLACES = 6;

export async function render(stage, [who], context) {
  return who ? one(stage, who, context) : list(stage, context);
}

async function list(stage, context) {
  const page = await get("/contracts", { limit: PAGE, after: context.query.get("after") });
  add(stage, h("h1", {}, t("nav_contracts")),
    table({
      caption: t("contracts_caption"),
      file: "contracts",
      rows: page.contracts,
      columns: [
        { title: t("name"), cell: (row) => contractLink(row), plain: (row) => row.name ?? row.address },
        { title: t("owner"), cell: (row) => accountLink(row.owner, row.owner_name), plain: (row) => row.owner_name ?? row.owner },
        { title: t("deployed_at"), cell: (row) => blockLink(row.height), plain: (row) => row.height },
        { title: t("stored_bytes"), number: true, cell: (row) => integer(row.data_bytes), plain: (row) => row.data_bytes },
        { title: t("deposit"), number: true, cell: (row) => money(row.deposit_micro), plain: (row) => row.deposit_micro },
        { title: t("state"), cell: (row) => (row.frozen ? mark(t("frozen")) : mark(t("revision", { number: row.revision }))), plain: (row) => (row.frozen ? "frozen" : row.revision) },
      ],
    }),
    page.next !== null && h("p", { class: "pager" }, h("a", { class: "button quiet", href: `/contracts?after=${page.next}` }, t("more"))));
  return t("nav_contracts");
}

const contractLink = (row) => h("a", { href: `/contracts/${row.address}`, title: row.address }, row.name ? h("bdi", {}, row.name) : row.address);

async function one(stage, who, context) {
  const contract = await get(`/contracts/${encodeURIComponent(who)}`);
  const events = h("div", {});
  const shown = contract.abi.functions.filter((found) => found.kind === "view" || found.kind === "export");
  add(stage, h("h1", {}, h("bdi", {}, contract.name ?? t("contract"))), facts(contract),
    section(t("read_here"), shown.filter((found) => found.kind === "view").map((found) => viewForm(contract, found))),
    section(t("call_here"), walletNotice(), shown.filter((found) => found.kind === "export").map((found) => callForm(contract, found))),
    section(t("events"), events),
    section(t("storage"), storage(contract)),
    section(t("source"), h("p", { class: "note" }, t("source_note")), h("pre", { class: "long mono", tabindex: 0 }, contract.source)));
  const draw = async () => refill(events, eventTable(await get(`/contracts/${contract.address}/events`, { limit: EVENTS })));
  await draw();
  context.listen((message) => {
    if (message.type === "block" || message.type === "mended") draw().catch(() => {});
  });
  return contract.name ?? t("contract");
}

function facts(contract) {
  return factList([
    [t("address"), h("code", {}, contract.address)],
    [t("owner"), accountLink(contract.owner, contract.owner_name)],
    [t("state"), contract.frozen ? mark(t("frozen")) : mark(t("revision", { number: contract.revision }))],
    [t("money"), money(contract.account.money_micro)],
    [t("energy"), energyOrNone(contract.account.energy_milli_wh)],
    [t("deposit"), money(contract.deposit_micro)],
    [t("stored_bytes"), integer(contract.data_bytes)],
    [t("deployed_at"), blockLink(contract.height)],
    [t("code_hash"), h("code", {}, contract.code_hash)],
  ]);
}

const signature = (found) =>
  `${found.name}(${found.parameters.map((one) => `${one.name}: ${typeWords(one.type)}`).join(", ")}) → ${typeWords(found.result)}`;

const inputs = (found) => found.parameters.map((one) => field({
  name: `${found.name}-${one.name}`, title: `${one.name} (${typeWords(one.type)})`, required: one.type !== "str", maxlength: 4_000, spellcheck: "false",
}));

function typedValues(found, form) {
  return found.parameters.map((one) => readTyped(one.type, form.get(`${found.name}-${one.name}`) ?? ""));
}

function viewForm(contract, found) {
  const place = h("div", { "aria-live": "polite" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      const values = typedValues(found, new FormData(event.target));
      const answer = await get(`/contracts/${contract.address}/view/${found.name}`, { arguments: JSON.stringify(values) });
      refill(place, h("p", { class: "notice long mono", "data-result": found.name }, JSON.stringify(answer.result, null, 1)));
    } catch (error) {
      refill(place, problem(error));
    }
  };
  return h("form", { class: "stack", onsubmit: submit, "aria-label": found.name }, h("code", {}, signature(found)), inputs(found),
    h("button", { type: "submit", class: "quiet" }, t("read")), place);
}

function callForm(contract, found) {
  const place = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    try {
      const form = new FormData(event.target);
      const typed = typedValues(found, form);
      const values = await Promise.all(found.parameters.map((one, at) => encodeValue(one.type, typed[at])));
      const sent = parseAmount(form.get(`${found.name}-with-money`) || "0", PLACES) ?? 0n;
      const given = parseAmount(form.get(`${found.name}-with-energy`) || "0", PLACES) ?? 0n;
      await send(place, [["contracts", "call", [await accountOfAddress(contract.address), found.name, values, sent, given]]], [
        [t("what"), t("call_words", { name: contract.name ?? contract.address, function: found.name })],
        ...found.parameters.map((one, at) => [one.name, h("span", { class: "long" }, JSON.stringify(typed[at]))]),
        sent > 0n && [t("money"), money(sent)],
        given > 0n && [t("energy"), energy(given)],
      ]);
    } catch (error) {
      refill(place, problem(error));
    }
  };
  const who = [found.roles.length > 0 && t("for_roles", { roles: found.roles.join(", ") }), found.only && t("for_only", { name: found.only })].filter(Boolean);
  return h("form", { class: "stack", onsubmit: submit, "aria-label": found.name }, h("code", {}, signature(found)), who.map((words) => h("p", { class: "note" }, words)),
    inputs(found),
    field({ name: `${found.name}-with-money`, title: t("with_money"), inputmode: "decimal", maxlength: 24 }),
    field({ name: `${found.name}-with-energy`, title: t("with_energy"), inputmode: "decimal", maxlength: 24 }),
    h("button", { type: "submit" }, t("call")), place);
}

function eventTable(page) {
  return table({
    caption: t("contract_events_caption"),
    rows: page.events,
    columns: [
      { title: t("event"), cell: (row) => h("code", {}, row.event) },
      { title: t("time"), cell: (row) => moment(row.time_ms) },
      { title: t("values"), cell: (row) => factList(Object.entries(row.fields).map(([name, value]) => [name, h("span", { class: "long" }, String(value))])) },
      { title: t("transaction"), cell: (row) => transactionLink(row.transaction_id) },
    ],
  });
}

function storage(contract) {
  return table({
    caption: t("storage_caption"),
    rows: contract.abi.storage,
    columns: [
      { title: t("name"), cell: (row) => h("code", {}, row.name) },
      { title: t("kind"), cell: (row) => (row.key === null ? typeWords(row.value) : `${typeWords(row.key)} → ${typeWords(row.value)}`) },
    ],
  });
}
