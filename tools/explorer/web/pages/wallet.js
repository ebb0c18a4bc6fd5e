// Wallet: create, import, export, open and forget keys, all within this browser.

import { fromHex } from "../core/codec.js";
import { addressOf, canSign, newSeed } from "../core/crypto.js";
import { add, h, refill } from "../core/dom.js";
import { factList, field, problem, section } from "../core/parts.js";
import { exportOrders, importOrders } from "../core/sealed.js";
import { createKey, current, forget, importKey, keyFiles, lock, unlock, watch } from "../core/store.js";
import { save } from "../core/table.js";
import { t } from "../core/text.js";

const MIN_PASSWORD = 10;

export async function render(stage, _rest, context) {
  const place = h("div", {});
  add(stage, h("h1", {}, t("wallet")), h("p", {}, t("wallet_words")), place);
  const draw = async () => {
    if (!canSign()) {
      refill(place, h("p", { class: "notice" }, t("needs_https")));
      return;
    }
    const keys = await Promise.all(Object.values(keyFiles()).map(keyCard));
    refill(place, keys.length > 0 && section(t("keys_here"), keys),
      h("div", { class: "columns" }, section(t("create_key"), createForm()), section(t("import_key"), importForm())));
  };
  await draw();
  context.signal.addEventListener("abort", watch(draw));
  return t("wallet");
}

async function keyCard(file) {
  const address = await addressOf(fromHex(file.account));
  const isOpen = current()?.address === address;
  const place = h("div", {});
  const open = async (event) => {
    event.preventDefault();
    try {
      refill(place, h("p", { role: "status" }, t("opening")));
      await unlock(file.account, new FormData(event.target).get("password"));
    } catch (error) {
      refill(place, problem(error));
    }
  };
  const drop = () => {
    if (confirm(t("forget_sure", { address }))) forget(file.account);
  };
  return h("div", { class: "tile" },
    factList([
      [t("address"), h("a", { href: `/account/${address}` }, h("code", { "data-address": address }, address))],
      [t("public_key"), h("code", { "data-key": file.public_key }, file.public_key)],
      [t("state"), isOpen ? t("key_open") : t("key_locked")],
    ]),
    isOpen ? h("p", { class: "note" }, t("admission_note"))
      : h("form", { class: "row", onsubmit: open }, field({ name: `password`, title: t("password"), type: "password", required: true, autocomplete: "current-password" }),
        h("button", { type: "submit" }, t("open_key"))),
    place,
    h("p", { class: "row" },
      isOpen && h("button", { type: "button", class: "quiet", onclick: lock }, t("lock")),
      h("button", { type: "button", class: "quiet", onclick: () => save(`${address.slice(0, 12)}.json`, `${JSON.stringify(file, null, 1)}\n`, "application/json") }, t("export_key")),
      h("button", { type: "button", class: "quiet", onclick: drop }, t("forget"))),
    isOpen && sealedOrders(address));
}

/** What the browser keeps of the open key's sealed orders, to save and to bring here. */
function sealedOrders(address) {
  const place = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    try {
      const count = await importOrders(parseFile(await new FormData(event.target).get("sealed-file").text()));
      refill(place, h("p", { role: "status" }, t("sealed_imported", { count })));
    } catch (error) {
      refill(place, problem(error));
    }
  };
  const download = () => save(`sealed-orders-${address.slice(0, 12)}.json`, `${JSON.stringify(exportOrders(), null, 1)}\n`, "application/json");
  return h("form", { class: "row", onsubmit: submit, id: "sealed-form" },
    h("button", { type: "button", class: "quiet", onclick: download }, t("export_sealed")),
    field({ name: "sealed-file", title: t("sealed_file"), type: "file", accept: ".json,application/json", required: true }),
    h("button", { type: "submit", class: "quiet" }, t("import_sealed")), place);
}

function passwords(form, place) {
  const [first, second] = [form.get("new-password"), form.get("again")];
  if (first.length < MIN_PASSWORD || first !== second) {
    refill(place, h("p", { class: "problem", role: "alert" }, first === second ? t("password_short", { count: MIN_PASSWORD }) : t("password_differs")));
    return null;
  }
  return first;
}

function createForm() {
  const place = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    const password = passwords(new FormData(event.target), place);
    if (password === null) return;
    try {
      refill(place, h("p", { role: "status" }, t("sealing")));
      await createKey(newSeed(), password);
    } catch (error) {
      refill(place, problem(error));
    }
  };
  return h("form", { class: "stack", onsubmit: submit, id: "create-form" },
    field({ name: "new-password", title: t("password"), note: t("password_note", { count: MIN_PASSWORD }), type: "password", required: true, autocomplete: "new-password" }),
    field({ name: "again", title: t("password_again"), type: "password", required: true, autocomplete: "new-password" }),
    h("button", { type: "submit" }, t("create_key")), place);
}

function importForm() {
  const place = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    try {
      refill(place, h("p", { role: "status" }, t("opening")));
      const text = await form.get("key-file").text();
      await importKey(parseFile(text), form.get("key-password"));
    } catch (error) {
      refill(place, problem(error));
    }
  };
  return h("form", { class: "stack", onsubmit: submit, id: "import-form" },
    field({ name: "key-file", title: t("key_file"), note: t("key_file_note"), type: "file", accept: ".json,application/json", required: true }),
    field({ name: "key-password", title: t("password"), type: "password", required: true, autocomplete: "current-password" }),
    h("button", { type: "submit" }, t("import_key")), place);
}

function parseFile(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw Object.assign(new Error("malformed"), { code: "key_malformed" });
  }
}
