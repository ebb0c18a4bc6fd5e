// One block: its header, who signed it, its transactions, and what happened by itself.

import { get } from "../core/api.js";
import { add, h } from "../core/dom.js";
import { integer, time } from "../core/format.js";
import { accountLink, blockLink, factList, mark, section, transactionLink } from "../core/parts.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { eventList } from "./transaction.js";

const PAGE = 100;

export async function render(stage, [which = "latest"], context) {
  const from = context.query.get("from");
  const fromSystem = context.query.get("from_system");
  const block = await get(`/blocks/${which}`, { limit: PAGE, from, from_system: fromSystem });
  const shown = Number(fromSystem ?? 0) + block.system_receipts.length;
  const { header, certificate } = block;
  const height = Number(block.height);
  add(stage, 
    h("h1", {}, t("block_title", { height: integer(height) })),
    factList([
      [t("state"), block.final ? mark(t("final"), "good") : mark(t("not_final"), "warn")],
      [t("time"), time(header.time_ms)],
      [t("proposer"), accountLink(header.proposer, header.proposer_name)],
      [t("block_id"), h("code", {}, block.id)],
      height > 0 && [t("parent"), h("a", { href: `/block/${height - 1}` }, h("code", {}, header.parent))],
      [t("state_root"), h("code", {}, header.state_root)],
      [t("gas"), integer(header.gas_used)],
      [t("round"), certificate ? integer(certificate.round) : "–"],
      [t("signatures"), certificate ? integer(certificate.signatures.length) : t("no_certificate")],
    ]),
    h("p", { class: "pager" },
      height > 0 && h("a", { class: "button quiet", href: `/block/${height - 1}` }, t("previous_block")),
      h("a", { class: "button quiet", href: `/block/${height + 1}` }, t("next_block"))),
    section(t("transactions"), transactions(block), block.next !== null && h("p", { class: "pager" },
      h("a", { class: "button quiet", href: `/block/${block.height}?from=${block.next}` }, t("more")))),
    block.system_receipts.length > 0 && section(t("by_itself"), block.system_receipts.map((receipt) => eventList(receipt.events)),
      shown < Number(block.system_receipts_count) && h("p", { class: "pager" },
        h("a", { class: "button quiet", href: `/block/${block.height}?from_system=${shown}` }, t("more")))),
    block.evidence.length > 0 && section(t("evidence"), block.evidence.map((data) => h("p", { class: "long mono" }, data))),
  );
  return t("block_title", { height });
}

function transactions(block) {
  return table({
    caption: t("transactions_caption", { count: integer(block.transactions_count) }),
    file: `block-${block.height}`,
    rows: block.transactions.map((row) => ({ ...row, height: block.height })),
    columns: transactionColumns(),
  });
}

/** The columns of a list of transactions. */
export function transactionColumns() {
  return [
    { title: t("transaction"), cell: (row) => transactionLink(row.id), plain: (row) => row.id },
    { title: t("block"), cell: (row) => blockLink(row.height), plain: (row) => row.height },
    { title: t("sender"), cell: (row) => accountLink(row.sender, row.sender_name), plain: (row) => row.sender_name ?? row.sender },
    { title: t("what"), cell: (row) => row.calls.join(", ") },
    { title: t("outcome"), cell: (row) => outcome(row.code), plain: (row) => row.code || "ok" },
    { title: t("gas"), number: true, cell: (row) => integer(row.gas_used), plain: (row) => row.gas_used },
  ];
}

/** How a transaction ended, as a mark. */
export const outcome = (code) => (code ? mark(code, "bad") : mark(t("done"), "good"));
