// A member's bill of a day market: totals of a month and its lines, for whom they concern, by
// requests that the opened key signs.

import { get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { energy, integer, money } from "../core/format.js";
import { factList, field, problem, section } from "../core/parts.js";
import { getSigned } from "../core/signed.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

const MONTH_LETTERS = 7;

/** Put the bills of an account into `place`; nothing where the network has no day market, or where
 *  nobody opened a key. */
export async function drawBills(place, account) {
  if (!current()) return;
  const { markets } = await get("/day-markets");
  if (markets.length === 0) return;
  const answer = h("div", {});
  const draw = async (name, month) => {
    try {
      await drawBill(answer, account, name, month, null);
    } catch (error) {
      refill(answer, problem(error));
    }
  };
  const choose = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    draw(form.get("bill-market"), form.get("bill-month"));
  };
  const [first] = markets;
  refill(place, section(t("bill"), h("form", { class: "row", onsubmit: choose },
    field({ name: "bill-market", title: t("market"), options: markets.map((one) => [one.name, one.name]) }),
    field({ name: "bill-month", title: t("month"), type: "month", required: true, value: first.day.slice(0, MONTH_LETTERS) }),
    h("button", { type: "submit", class: "quiet" }, t("show"))), answer));
  await draw(first.name, first.day.slice(0, MONTH_LETTERS));
}

async function drawBill(place, account, name, month, first) {
  const found = await getSigned(`/day-markets/${name}/bills/${account.address}/${month}`, { first });
  const more = () => drawBill(place, account, name, month, found.next).catch((error) => refill(place, problem(error)));
  refill(place,
    factList([
      [t("bill_total"), h("span", { "data-bill": found.totals.amount_micro }, `${money(found.totals.amount_micro)} ${t("tokens")}`)],
      ...found.totals.kinds.map((row) => [t(`bill_${row.kind}`), `${energy(row.energy_milli_wh)} · ${money(row.amount_micro)}`]),
    ]),
    table({
      caption: t("bill_caption", { count: integer(found.totals.lines) }), file: `bill-${name}-${month}`, rows: found.lines, empty: t("no_bill_lines"),
      columns: [
        { title: t("delivery_begins"), cell: (row) => row.local_start },
        { title: t("what"), cell: (row) => t(`bill_${row.kind}`), plain: (row) => row.kind },
        { title: t("energy"), number: true, cell: (row) => energy(row.energy_milli_wh), plain: (row) => row.energy_milli_wh },
        { title: t("amount"), number: true, cell: (row) => money(row.amount_micro), plain: (row) => row.amount_micro },
        { title: t("state"), cell: (row) => t(`bill_part_${row.part}`), plain: (row) => row.part },
      ],
    }));
  if (found.next !== null) add(place, h("p", { class: "pager" }, h("button", { type: "button", class: "quiet", onclick: more }, t("more"))));
}
