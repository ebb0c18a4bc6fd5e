// Signs calls with the opened key, shows in words what is signed before it is, and follows the
// transaction until it is final.

import { ApiError, get, post } from "./api.js";
import { encode, fromHex, toBase64, toHex } from "./codec.js";
import { canSign } from "./crypto.js";
import { h, refill } from "./dom.js";
import { integer, money } from "./format.js";
import { factList, problem, transactionLink } from "./parts.js";
import { current } from "./store.js";
import { t } from "./text.js";
import { signTransaction } from "./transaction.js";

const GAS_LIMIT = 2_000_000;
const EXPIRY_BLOCKS = 1_000;
const WAIT_MS = 20_000;

/** What a page shows where no key is open; null where one is. */
export function walletNotice() {
  if (current()) return null;
  return h("p", { class: "notice" }, canSign() ? t("open_wallet_first") : t("needs_https"), " ",
    h("a", { href: "/wallet" }, t("wallet")));
}

/** What calls would do if they were made now by `sender`, without anything being signed. */
export function preview(sender, calls) {
  return post("/preview", { sender, calls: toBase64(encode(calls)) });
}

/** Ask for consent to `words` ([[title, value]…]), sign `calls`, and follow them into `place`; `before`
 *  is done in between. Returns whether they became final and did what they were asked for. */
export async function send(place, calls, words, before = null) {
  const key = current();
  if (!key) {
    refill(place, walletNotice());
    return false;
  }
  if (!(await consent(place, words))) {
    refill(place, h("p", { class: "note" }, t("not_signed")));
    return false;
  }
  try {
    refill(place, h("p", { role: "status" }, t("signing")));
    await before?.();
    const { raw, id } = await signed(key, calls);
    const { results: [result] } = await post("/transactions", { transactions: [toBase64(raw)] });
    if (!result.accepted) throw new ApiError(400, { code: result.code, message: result.message });
    return await follow(place, toHex(id));
  } catch (error) {
    refill(place, problem(error));
    return false;
  }
}

async function signed(key, calls) {
  const [status, { parameters }, account] = await Promise.all([
    get("/status"), get("/params"), get(`/accounts/${key.address}`),
  ]);
  const gasLimit = Math.min(GAS_LIMIT, Number(parameters.max_transaction_gas));
  return signTransaction(key.signing, {
    genesis: fromHex(status.genesis),
    sender: key.account,
    key: key.publicKey,
    nonce: account.next_nonce,
    gasLimit,
    maxFeeMicro: BigInt(gasLimit) * BigInt(parameters.gas_price_micro),
    expiryHeight: Number(status.height) + Math.min(EXPIRY_BLOCKS, Number(parameters.max_expiry_blocks)),
    calls,
  });
}

function consent(place, words) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "consent-title" },
      h("h2", { id: "consent-title" }, t("sign_this")),
      factList(words),
      h("p", { class: "note" }, t("sign_note")),
      h("div", { class: "row" },
        h("button", { type: "button", onclick: () => dialog.close("yes"), autofocus: true }, t("sign")),
        h("button", { type: "button", class: "quiet", onclick: () => dialog.close("no") }, t("cancel"))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    refill(place, dialog);
    dialog.showModal();
  });
}

async function follow(place, id) {
  const started = performance.now();
  for (;;) {
    refill(place, h("p", { role: "status" }, t("waiting_final"), " ", transactionLink(id)));
    const found = await get(`/transactions/${id}`, { wait_ms: WAIT_MS });
    if (!found.final) continue;
    const { receipt } = found;
    if (!receipt.code) performance.mark("final");
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    if (receipt.code) {
      refill(place, problem(new ApiError(400, { code: receipt.code, message: receipt.message })),
        h("p", {}, transactionLink(id)));
      return false;
    }
    refill(place, h("div", { class: "notice", role: "status", "data-final": id },
      h("p", {}, t("is_final", { height: integer(found.height), seconds })),
      factList([[t("transaction"), transactionLink(id)], [t("fee"), money(receipt.fee_micro)]])));
    return true;
  }
}
