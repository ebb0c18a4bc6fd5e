// Blocks: the newest first, in pages.

import { get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { integer } from "../core/format.js";
import { accountLink, blockLink, mark, moment } from "../core/parts.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

const PAGE = 25;

export async function render(stage, _rest, context) {
  const before = context.query.get("before");
  const place = h("div", {});
  add(stage, h("h1", {}, t("nav_blocks")), place);
  const draw = async () => {
    const page = await get("/blocks", { limit: PAGE, before });
    refill(place, blockTable(page.blocks), h("p", { class: "pager" },
      before && h("a", { class: "button quiet", href: "/blocks" }, t("newest")),
      page.next !== null && h("a", { class: "button quiet", href: `/blocks?before=${page.next}` }, t("older"))));
  };
  await draw();
  if (!before) {
    context.listen((message) => {
      if (message.type === "block" || message.type === "mended") draw().catch(() => {});
    });
  }
  return t("nav_blocks");
}

function blockTable(blocks) {
  return table({
    caption: t("blocks_caption"),
    file: "blocks",
    rows: blocks,
    columns: [
      { title: t("height"), cell: (row) => blockLink(row.height), plain: (row) => row.height },
      { title: t("time"), cell: (row) => moment(row.time_ms), plain: (row) => new Date(row.time_ms).toISOString() },
      { title: t("transactions"), number: true, cell: (row) => integer(row.transactions), plain: (row) => row.transactions },
      { title: t("proposer"), cell: (row) => accountLink(row.proposer, row.proposer_name), plain: (row) => row.proposer_name ?? row.proposer },
      { title: t("gas"), number: true, cell: (row) => integer(row.gas_used), plain: (row) => row.gas_used },
      { title: t("state"), cell: (row) => (row.final ? mark(t("final"), "good") : mark(t("not_final"), "warn")), plain: (row) => (row.final ? "final" : "not final") },
    ],
  });
}
