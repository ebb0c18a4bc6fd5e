// Transfer: money or energy to another member.

import { get } from "../core/api.js";
import { accountOfAddress } from "../core/crypto.js";
import { add, h, refill } from "../core/dom.js";
import { energy, money, parseAmount } from "../core/format.js";
import { field, problem } from "../core/parts.js";
import { send, walletNotice } from "../core/send.js";
import { t } from "../core/text.js";

const PLACES = 6;
const MAX_MEMO_BYTES = 64;

export async function render(stage) {
  const place = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    try {
      await transfer(form, place);
    } catch (error) {
      refill(place, problem(error));
    }
  };
  add(stage, h("h1", {}, t("nav_transfer")), walletNotice(),
    h("form", { class: "stack", onsubmit: submit, id: "transfer-form" },
      field({ name: "to", title: t("recipient"), note: t("recipient_note"), required: true, maxlength: 42, spellcheck: "false" }),
      field({ name: "kind", title: t("what"), options: [["money", t("money_tokens")], ["energy", t("energy_kwh")]] }),
      field({ name: "amount", title: t("amount"), inputmode: "decimal", required: true, maxlength: 24 }),
      field({ name: "memo", title: t("memo"), note: t("memo_note"), maxlength: 64 }),
      h("button", { type: "submit" }, t("nav_transfer")), place));
  return t("nav_transfer");
}

async function transfer(form, place) {
  const amount = parseAmount(form.get("amount"), PLACES);
  if (amount === null || amount <= 0n) {
    refill(place, h("p", { class: "problem", role: "alert" }, t("not_an_amount", { field: t("amount"), text: form.get("amount") })));
    return;
  }
  const memo = form.get("memo");
  if (new TextEncoder().encode(memo).length > MAX_MEMO_BYTES) throw new Error(t("memo_too_long"));
  const account = await get(`/accounts/${encodeURIComponent(form.get("to").trim())}`);
  const to = await accountOfAddress(account.address);
  const isMoney = form.get("kind") === "money";
  const call = isMoney ? ["accounts", "transfer", [to, amount, memo]] : ["accounts", "transfer_energy", [to, amount]];
  await send(place, [call], [
    [t("what"), t("transfer_words")],
    [t("recipient"), [h("bdi", {}, account.name ?? ""), " ", h("code", {}, account.address)]],
    [t("amount"), isMoney ? `${money(amount)} ${t("tokens")}` : energy(amount)],
    isMoney && memo && [t("memo"), h("bdi", {}, memo)],
  ]);
}
