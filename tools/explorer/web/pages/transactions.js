// Transactions of all blocks, the newest first.

import { get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { transactionColumns } from "./block.js";

const PAGE = 50;

export async function render(stage, _rest, context) {
  const before = context.query.get("before");
  const place = h("div", {});
  add(stage, h("h1", {}, t("nav_transactions")), place);
  const draw = async () => {
    const page = await get("/transactions", { limit: PAGE, before });
    refill(place,
      table({ caption: t("transactions_all"), file: "transactions", rows: page.transactions, columns: transactionColumns() }),
      h("p", { class: "pager" },
        before && h("a", { class: "button quiet", href: "/transactions" }, t("newest")),
        page.next !== null && h("a", { class: "button quiet", href: `/transactions?before=${page.next}` }, t("older"))));
  };
  await draw();
  if (!before) {
    context.listen((message) => {
      if (message.type === "block" || message.type === "mended") draw().catch(() => {});
    });
  }
  return t("nav_transactions");
}
