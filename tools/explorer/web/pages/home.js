// Home: how the network is, what energy costs now, and who takes part.

import { get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { energy, energyOrNone, integer, money, price } from "../core/format.js";
import { accountLink, blockLink, mark, moment, problem, section, tile } from "../core/parts.js";
import { getWhole } from "../core/signed.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

const MEMBERS = 50;

export async function render(stage, _rest, context) {
  const tiles = h("div", { class: "tiles" });
  const members = h("div", {});
  const validators = h("div", {});
  add(stage, h("h1", {}, t("nav_home")), tiles, validators, members);

  const draw = async () => {
    const [status, seats, { peers }, markets] = await Promise.all([
      get("/status"), get("/validators"), get("/peers"), get("/markets"),
    ]);
    const connected = new Set([status.node, ...peers.map((peer) => peer.name)]);
    const missing = new Set(seats.validators.map((row) => row.name).filter((name) => !connected.has(name)));
    refill(tiles,
      tile(t("chain"), h("bdi", {}, status.chain), t("engine_is", { engine: status.engine })),
      tile(t("height"), blockLink(status.height), moment(status.time_ms)),
      tile(t("validators"), `${seats.validators.length - missing.size} / ${seats.validators.length}`,
        missing.size ? t("missing_are", { names: [...missing].join(", ") }) : t("nobody_missing")),
      ...(await Promise.all(markets.markets.slice(0, 3).map(priceTile))));
    refill(validators, section(t("validators"), table({
      caption: t("who_decides"),
      file: "validators",
      rows: seats.validators,
      columns: [
        { title: t("name"), cell: (row) => accountLink(row.address, row.name), plain: (row) => row.name ?? row.address },
        { title: t("power"), number: true, cell: (row) => integer(row.power), plain: (row) => row.power },
        { title: t("state"), cell: (row) => (missing.has(row.name) ? mark(t("missing"), "bad") : mark(t("present"), "good")),
          plain: (row) => (missing.has(row.name) ? "missing" : "present") },
      ],
    })));
  };

  // Members come in pages; a redraw fetches again as many as are shown.
  let pages = 1;
  const drawMembers = async () => {
    const found = [];
    let next = null;
    for (let page = 0; page < pages && (page === 0 || next !== null); page += 1) {
      const answer = await getWhole("/members", { limit: MEMBERS, after: next }, ({ members: listed }) => listed.some((row) => row.energy_milli_wh === null));
      found.push(...answer.members);
      next = answer.next;
    }
    const more = () => {
      pages += 1;
      drawMembers().catch((error) => refill(members, problem(error)));
    };
    refill(members, section(t("members"), memberTable(found),
      next !== null && h("p", { class: "pager" }, h("button", { type: "button", class: "quiet", onclick: more }, t("more")))));
  };

  await Promise.all([draw(), drawMembers()]);
  let due = null;
  context.listen((message) => {
    if (message.type !== "block" && message.type !== "mended") return;
    due ??= setTimeout(() => {
      due = null;
      if (!context.signal.aborted) Promise.all([draw(), drawMembers()]).catch(() => {});
    }, 300);
  });
  return t("nav_home");
}

const memberTable = (found) => table({
  caption: t("members_caption"),
  file: "members",
  rows: found,
  columns: [
    { title: t("name"), cell: (row) => accountLink(row.address, row.name), plain: (row) => row.name ?? row.address },
    { title: t("roles"), cell: (row) => row.roles.join(", ") },
    { title: t("money"), number: true, cell: (row) => money(row.money_micro), plain: (row) => row.money_micro },
    { title: t("energy"), number: true, cell: (row) => energyOrNone(row.energy_milli_wh), plain: (row) => row.energy_milli_wh ?? "" },
    { title: t("on_offer"), number: true, cell: (row) => energy(row.energy_reserved_milli_wh), plain: (row) => row.energy_reserved_milli_wh },
    { title: t("bus"), cell: (row) => row.bus || "–" },
  ],
});

async function priceTile(market) {
  const [{ offers: [cheapest] }, { trades: [last] }] = await Promise.all([
    get(`/markets/${market.name}/offers`, { limit: 1 }),
    get(`/markets/${market.name}/trades`, { limit: 1 }),
  ]);
  const shown = cheapest ? price(cheapest.price_micro_per_kwh) : "–";
  const note = last ? t("last_trade_at", { price: price(last.price_micro_per_kwh) }) : t("no_trade_yet");
  return tile(t("price_in", { market: market.name }), h("a", { href: `/market/${market.name}` }, shown), note);
}
