// One account: what it holds, how that came about, and its proof.

import { get } from "../core/api.js";
import { fromBase64 } from "../core/codec.js";
import { add, h, refill } from "../core/dom.js";
import { drawn, energy, integer, money } from "../core/format.js";
import { lineChart } from "../core/chart.js";
import { blockLink, factList, field, mark, moment, problem, section, transactionLink } from "../core/parts.js";
import { getAsMember, getWhole } from "../core/signed.js";
import { save, table } from "../core/table.js";
import { t } from "../core/text.js";
import { drawBills } from "./bill.js";
import { outcome } from "./block.js";

const PAGE = 50;
const CHARTED = 200;

export async function render(stage, [who], context) {
  const account = await load(who);
  const facts = h("div", {});
  const list = h("div", {});
  const charts = h("div", { class: "columns" });
  const unasked = h("div", {});
  const bills = h("div", {});
  add(stage, h("h1", {}, account.name ? h("bdi", {}, account.name) : t("account")), facts,
    section(t("balances_over_time"), charts), bills, section(t("history"), list), unasked);
  refill(facts, accountFacts(account));
  const state = { what: context.query.get("what") ?? "", before: context.query.get("before") };
  const first = await drawHistory(list, account, state);
  const unaskedPage = get(`/accounts/${account.address}/unasked`, { limit: CHARTED });
  drawBills(bills, account).catch((error) => refill(bills, problem(error)));
  unaskedPage.then((page) => (page.unasked.length > 0 || page.next !== null) && drawUnasked(unasked, account, page)).catch((error) => refill(unasked, problem(error)));
  drawCharts(charts, account, state.what || state.before ? null : first, unaskedPage).catch((error) => refill(charts, problem(error)));
  context.listen(async (message) => {
    if (message.type !== "block" && message.type !== "mended") return;
    const fresh = await load(account.address).catch(() => null);
    if (fresh && !context.signal.aborted) refill(facts, accountFacts(fresh));
  });
  return account.name ?? account.address;
}

const load = (who) => getWhole(`/accounts/${encodeURIComponent(who)}`, {}, (found) => found.energy_milli_wh === null);

function accountFacts(account) {
  const place = h("div", {});
  const proof = async () => {
    try {
      const found = await getAsMember(`/proofs/account/${account.address}`);
      save(`${account.name ?? account.address}.proof`, fromBase64(found.proof), "application/octet-stream");
    } catch (error) {
      refill(place, problem(error));
    }
  };
  return [
    factList([
      [t("address"), h("code", {}, account.address)],
      [t("state"), mark(account.status, account.status === "active" ? "good" : "bad")],
      [t("roles"), account.roles.join(", ") || "–"],
      [t("money"), h("span", { "data-money": account.money_micro }, money(account.money_micro))],
      account.money_reserved_micro > 0 && [t("money_reserved"), money(account.money_reserved_micro)],
      [t("energy"), account.energy_milli_wh === null ? t("energy_withheld") : h("span", { "data-energy": account.energy_milli_wh }, energy(account.energy_milli_wh))],
      [t("on_offer"), energy(account.energy_reserved_milli_wh)],
      [t("bus"), account.bus || "–"],
      [t("public_key"), h("code", {}, account.key)],
      [t("nonce"), integer(account.nonce)],
      [t("admitted"), blockLink(account.admitted_height)],
    ]),
    h("p", { class: "row" }, h("button", { type: "button", class: "quiet", onclick: proof }, t("download_proof")),
      h("a", { class: "button quiet", href: `/verify?account=${account.address}` }, t("verify_here"))),
    place,
  ];
}

async function drawHistory(place, account, state) {
  const page = await get(`/accounts/${account.address}/history`, { limit: PAGE, before: state.before, what: state.what || null });
  const choose = (event) => {
    event.preventDefault();
    state.what = new FormData(event.target).get("what");
    state.before = null;
    drawHistory(place, account, state).catch((error) => refill(place, problem(error)));
  };
  const older = () => {
    state.before = page.next;
    drawHistory(place, account, state).catch((error) => refill(place, problem(error)));
  };
  refill(place,
    h("form", { class: "row", onsubmit: choose },
      field({ name: "what", title: t("filter_what"), value: state.what, options: [
        ["", t("everything")], ["accounts", t("transfers")], ["market", t("trading")], ["members", t("registry")],
        ["staking", t("staking")], ["governance", t("governance")],
      ] }),
      h("button", { type: "submit", class: "quiet" }, t("show"))),
    table({
      caption: t("history_caption"),
      file: `history-${account.name ?? account.address}`,
      rows: page.history,
      columns: [
        { title: t("time"), cell: (row) => moment(row.time_ms), plain: (row) => new Date(Number(row.time_ms)).toISOString() },
        { title: t("transaction"), cell: (row) => transactionLink(row.transaction_id), plain: (row) => row.transaction_id },
        { title: t("what"), cell: (row) => row.what },
        { title: t("money"), number: true, cell: (row) => change(row.money_micro, money), plain: (row) => row.money_micro ?? "" },
        { title: t("energy"), number: true, cell: (row) => change(row.energy_milli_wh, energy), plain: (row) => row.energy_milli_wh ?? "" },
        { title: t("outcome"), cell: (row) => outcome(row.code), plain: (row) => row.code || "ok" },
      ],
    }),
    page.next !== null && h("p", { class: "pager" }, h("button", { type: "button", class: "quiet", onclick: older }, t("older"))));
  return page;
}

function change(amount, show) {
  if (amount === null) return "–";
  return amount > 0 ? `+${show(amount)}` : show(amount);
}

/** What came by itself: clearings, settlements, rewards. */
function drawUnasked(place, account, page) {
  const older = () => get(`/accounts/${account.address}/unasked`, { limit: PAGE, before: page.next }).then((next) => drawUnasked(place, account, next)).catch((error) => refill(place, problem(error)));
  refill(place, section(t("by_itself"), table({
    caption: t("unasked_caption"), file: `unasked-${account.name ?? account.address}`, rows: page.unasked,
    columns: [
      { title: t("time"), cell: (row) => moment(row.time_ms), plain: (row) => new Date(Number(row.time_ms)).toISOString() },
      { title: t("block"), cell: (row) => blockLink(row.height), plain: (row) => row.height },
      { title: t("what"), cell: (row) => row.what },
      { title: t("money"), number: true, cell: (row) => change(row.money_micro, money), plain: (row) => row.money_micro ?? "" },
      { title: t("energy"), number: true, cell: (row) => change(row.energy_milli_wh, energy), plain: (row) => row.energy_milli_wh ?? "" },
    ],
  }), page.next !== null && h("p", { class: "pager" }, h("button", { type: "button", class: "quiet", onclick: older }, t("older")))));
}

/** What an account held at the times of its last changes, walked back from what it holds now, what
 *  is set aside included; as far back as both lists reach. Of its history `first` may be there already. */
async function drawCharts(place, account, first, unaskedPage) {
  const [asked, unasked] = await Promise.all([historyOf(account, first), unaskedPage]);
  const reach = Math.max(asked.next === null ? 0 : Number(asked.history.at(-1)?.height ?? 0), unasked.next === null ? 0 : Number.parseInt(unasked.next, 10));
  const changes = [...asked.history, ...unasked.unasked.map((row) => ({ ...row, fee_micro: 0, index: Infinity }))]
    .filter((row) => row.height >= reach).sort((left, right) => right.height - left.height || right.index - left.index);
  const walk = (held, changed) => {
    let balance = BigInt(held);
    const points = [[Date.now(), drawn(balance)]];
    for (const row of changes) {
      points.push([Number(row.time_ms), drawn(balance)]);
      balance -= BigInt(changed(row) ?? 0);
    }
    if (changes.length > 0) points.push([Number(changes.at(-1).time_ms) - 1, drawn(balance)]);
    return points.reverse();
  };
  refill(place,
    await lineChart({ title: t("money_held"), yTitle: t("tokens"), series: [{ name: t("money"), step: "step-after", filled: true,
      points: walk(BigInt(account.money_micro) + BigInt(account.money_reserved_micro), (row) => BigInt(row.money_micro ?? 0) - BigInt(row.fee_micro)) }] }),
    account.energy_milli_wh !== null && await lineChart({ title: t("energy_held"), yTitle: "kWh", series: [{ name: t("energy"), step: "step-after", filled: true,
      points: walk(BigInt(account.energy_milli_wh) + BigInt(account.energy_reserved_milli_wh), (row) => row.energy_milli_wh) }] }));
}

async function historyOf(account, first) {
  if (first !== null && first.next === null) return first;
  const rest = await get(`/accounts/${account.address}/history`, { limit: CHARTED - (first?.history.length ?? 0), before: first?.next });
  return { history: [...first?.history ?? [], ...rest.history], next: rest.next };
}
