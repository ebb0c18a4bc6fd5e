// The frame of all pages: navigation, search, language, live state, and which page an address shows.

import { get } from "./core/api.js";
import { h, refill } from "./core/dom.js";
import { Live } from "./core/live.js";
import { problem } from "./core/parts.js";
import { current, watch } from "./core/store.js";
import { language, languages, setLanguage, t } from "./core/text.js";

// The first part of an address: which module shows it, and under which entry of the navigation.
const PAGES = {
  "": { module: "home" },
  blocks: { module: "blocks" },
  block: { module: "block", under: "blocks" },
  transactions: { module: "transactions" },
  transaction: { module: "transaction", under: "transactions" },
  account: { module: "account" },
  market: { module: "market" },
  exchange: { module: "exchange" },
  transfer: { module: "transfer" },
  auctions: { module: "auctions" },
  days: { module: "days" },
  quotas: { module: "quotas" },
  response: { module: "response" },
  grid: { module: "grid" },
  dispatch: { module: "dispatch" },
  meters: { module: "meters" },
  certificates: { module: "certificates" },
  contracts: { module: "contracts" },
  network: { module: "network" },
  stakes: { module: "stakes" },
  governance: { module: "governance" },
  verify: { module: "verify" },
  wallet: { module: "wallet" },
};
const NAVIGATION = [
  ["", [""]],
  ["group_trade", ["market", "exchange", "transfer", "days", "auctions", "quotas", "response"]],
  ["group_grid", ["grid", "dispatch", "meters", "certificates"]],
  ["group_chain", ["blocks", "transactions", "contracts", "verify"]],
  ["group_network", ["network", "stakes", "governance"]],
];

const main = document.getElementById("main");
const pages = document.getElementById("pages");
const said = document.getElementById("said");
const liveState = h("span", { class: "state-connecting" });
const live = new Live((state) => showState(state));
let leave = new AbortController();

function showState(state) {
  liveState.className = `state-${state}`;
  liveState.textContent = t(`live_${state}`);
}

/** Tell a screen reader. */
function say(text) {
  said.textContent = text;
}

function parts() {
  return location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
}

/** Show the page of the present address. `signal` of what a page gets ends its work when it is left. */
async function show({ focus = true } = {}) {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const [name = "", ...rest] = parts();
  const page = PAGES[name];
  drawHead(page?.under ?? name);
  main.setAttribute("aria-busy", "true");
  const stage = h("div", {});
  const context = {
    signal,
    live,
    say,
    query: new URLSearchParams(location.search),
    go: navigate,
    listen(listener) {
      signal.addEventListener("abort", live.listen(listener));
    },
  };
  try {
    if (!page) throw Object.assign(new Error(t("no_such_page")), { code: "no_such_page" });
    const { render } = await import(`./pages/${page.module}.js`);
    const title = await render(stage, rest, context);
    if (signal.aborted) return;
    document.title = `${title} · bitenergy`;
    main.replaceChildren(stage);
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    document.title = `${t("problem")} · bitenergy`;
    refill(main, h("h1", {}, t("problem")), problem(error));
  }
  main.setAttribute("aria-busy", "false");
  main.dataset.ready = location.pathname;
  performance.mark("ready");
  if (focus) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
    say(document.title);
  }
}

function navigate(address) {
  history.pushState(null, "", address);
  show();
}

function drawHead(active) {
  const wallet = current();
  const menu = h("button", { type: "button", class: "menu quiet", "aria-expanded": "false", "aria-controls": "pages", onclick: () => {
    const isOpen = pages.classList.toggle("open");
    menu.setAttribute("aria-expanded", isOpen);
  } }, t("menu"));
  pages.classList.remove("open");
  refill(document.getElementById("head"),
    h("a", { class: "brand", href: "/" }, "bitenergy"),
    h("form", { class: "search", role: "search", onsubmit: search },
      h("label", { class: "hidden", for: "search" }, t("search_label")),
      h("input", { id: "search", name: "q", type: "search", placeholder: t("search_hint"), autocomplete: "off", spellcheck: "false", maxlength: 80 }),
      h("button", { type: "submit" }, t("search"))),
    h("div", { class: "settings" },
      h("a", { href: "/wallet", class: "button quiet", "aria-current": active === "wallet" ? "page" : null }, wallet ? t("wallet_open") : t("wallet")),
      h("label", { class: "hidden", for: "language" }, t("language")),
      h("select", { id: "language", onchange: (event) => { setLanguage(event.target.value); frame(); show({ focus: false }); } },
        Object.entries(languages).map(([code, name]) => h("option", { value: code, selected: code === language() }, name))), menu));
  const link = (name) => h("li", {}, h("a", { href: `/${name}`, "aria-current": name === active ? "page" : null }, t(`nav_${name || "home"}`)));
  pages.setAttribute("aria-label", t("navigation"));
  refill(pages, NAVIGATION.map(([group, names]) => h("div", { class: "group" }, group && h("p", { id: group }, t(group)),
    h("ul", { "aria-labelledby": group || null }, names.map(link)))));
}

function frame() {
  document.documentElement.lang = language();
  document.getElementById("skip").textContent = t("skip");
  refill(document.getElementById("foot"), liveState, h("span", {}, t("footer")));
  showState(live.state);
}

/** Go to what was typed: a height, an id, an address, or a member's name. */
async function search(event) {
  event.preventDefault();
  const typed = new FormData(event.target).get("q").trim();
  if (!typed) return;
  try {
    navigate(await find(typed));
    event.target.reset();
  } catch (error) {
    refill(main, h("h1", {}, t("search")), h("p", { class: "long" }, t("not_found", { what: typed })), problem(error));
    main.focus();
  }
}

async function find(typed) {
  if (/^\d{1,15}$/.test(typed)) {
    try {
      await get(`/blocks/${typed}`, { limit: 1 });
      return `/block/${typed}`;
    } catch (error) {
      if (error.status !== 404 && error.status !== 410) throw error;
    }
  }
  if (/^[0-9a-f]{64}$/i.test(typed)) {
    try {
      await get(`/transactions/${typed.toLowerCase()}`);
      return `/transaction/${typed.toLowerCase()}`;
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    const block = await get(`/blocks/${typed.toLowerCase()}`, { limit: 1 });
    return `/block/${block.height}`;
  }
  const account = await get(`/accounts/${encodeURIComponent(typed)}`);
  return `/account/${encodeURIComponent(account.name ?? account.address)}`;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target || link.hasAttribute("download")) return;
  const address = new URL(link.href);
  if (address.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  navigate(address.pathname + address.search);
});
addEventListener("popstate", () => show());
watch(() => drawHead(PAGES[parts()[0] ?? ""]?.under ?? parts()[0] ?? ""));

frame();
show({ focus: false });
