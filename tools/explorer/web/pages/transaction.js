// One transaction: what was asked for, what came of it, and the proof of both.

import { get } from "../core/api.js";
import { fromBase64 } from "../core/codec.js";
import { add, h } from "../core/dom.js";
import { integer, money, time } from "../core/format.js";
import { accountLink, blockLink, factList, mark, problem, section } from "../core/parts.js";
import { save, table } from "../core/table.js";
import { t } from "../core/text.js";
import { outcome } from "./block.js";

export async function render(stage, [id], context) {
  const found = await get(`/transactions/${id}`);
  const { transaction, receipt } = found;
  if (!found.final) {
    context.listen((message) => {
      if (message.type === "block") context.go(location.pathname);
    });
  }
  add(stage, 
    h("h1", { class: "id" }, t("transaction_title")),
    factList([
      [t("transaction_id"), h("code", {}, found.id)],
      [t("state"), found.final ? mark(t("final"), "good") : mark(t(`status_${found.status}`), "warn")],
      receipt && [t("outcome"), [outcome(receipt.code), " ", receipt.message]],
      found.height !== null && [t("block"), blockLink(found.height)],
      found.time_ms !== null && [t("time"), time(found.time_ms)],
      [t("sender"), accountLink(transaction.sender, transaction.sender_name)],
      [t("nonce"), integer(transaction.nonce)],
      receipt && [t("fee"), money(receipt.fee_micro)],
      [t("gas"), receipt ? `${integer(receipt.gas_used)} / ${integer(transaction.gas_limit)}` : integer(transaction.gas_limit)],
    ]),
    section(t("calls"), transaction.calls.map((call) => callFacts(call))),
    receipt && receipt.events.length > 0 && section(t("events"), eventList(receipt.events)),
    found.final && section(t("proof"), proofButton(found.id)),
  );
  return t("transaction_title");
}

function callFacts(call) {
  return h("div", {}, h("h3", {}, h("code", {}, `${call.module}.${call.method}`)),
    factList(Object.entries(call.arguments).map(([name, value]) => [name, shown(value)])));
}

/** Events as a table. */
export function eventList(events) {
  return table({
    caption: t("events_caption"),
    rows: events,
    columns: [
      { title: t("event"), cell: (row) => h("code", {}, `${row.module}.${row.event}`) },
      { title: t("values"), cell: (row) => factList(Object.entries(row.fields).map(([name, value]) => [name, shown(value)])) },
    ],
  });
}

function shown(value) {
  if (value !== null && typeof value === "object") return h("code", { class: "long" }, JSON.stringify(value, (_k, item) => (typeof item === "bigint" ? String(item) : item)));
  const text = String(value);
  if (/^be[a-z2-7]{40}$/.test(text)) return h("a", { href: `/account/${text}`, class: "id" }, text);
  return h("span", { class: "long" }, text);
}

function proofButton(id) {
  const place = h("div", {});
  const fetchProof = async () => {
    try {
      const { proof } = await get(`/proofs/transaction/${id}`);
      save(`${id.slice(0, 16)}.proof`, fromBase64(proof), "application/octet-stream");
    } catch (error) {
      place.replaceChildren(problem(error));
    }
  };
  return [
    h("p", {}, t("proof_words")),
    h("p", { class: "row" },
      h("button", { type: "button", onclick: fetchProof }, t("download_proof")),
      h("a", { class: "button quiet", href: `/verify?transaction=${id}` }, t("verify_here"))),
    place,
  ];
}
