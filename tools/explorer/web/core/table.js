// Tables that fit a phone, can be read aloud, and can be downloaded as CSV.

import { add, h } from "./dom.js";
import { integer } from "./format.js";
import { t } from "./text.js";

const SHOWN = 100;

/** Return a table; of many rows the first are shown, and the others at a push of a button. columns: [{title, cell(row) -> node or text, plain(row) -> text for CSV, number}]. */
export function table({ caption, columns, rows, file, empty }) {
  if (rows.length === 0) return h("p", { class: "empty" }, empty ?? t("nothing_here"));
  const cells = (row) => columns.map((column, place) => {
    const attributes = { "data-title": column.title, class: column.number ? "number" : null };
    return place === 0
      ? h("th", { scope: "row", ...attributes }, column.cell(row))
      : h("td", attributes, column.cell(row));
  });
  const body = h("tbody", {}, rows.slice(0, SHOWN).map((row) => h("tr", {}, cells(row))));
  const rest = h("button", { class: "quiet", type: "button", onclick: () => {
    add(body, rows.slice(SHOWN).map((row) => h("tr", {}, cells(row))));
    rest.remove();
  } }, t("show_all", { count: integer(rows.length) }));
  return h("div", { class: "table" },
    h("table", {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map((column) =>
        h("th", { scope: "col", class: column.number ? "number" : null }, column.title)))),
      body,
    ),
    rows.length > SHOWN && rest,
    file && h("button", { class: "quiet download", type: "button", onclick: () => download(file, columns, rows) },
      t("download_csv")),
  );
}

/** The rows as CSV (RFC 4180); texts that a spreadsheet would take for a formula are quoted apart. */
export function csv(columns, rows) {
  const line = (values) => values.map(field).join(",");
  const plain = (column, row) => String((column.plain ?? column.cell)(row) ?? "");
  return [line(columns.map((column) => column.title)), ...rows.map((row) => line(columns.map((column) => plain(column, row))))]
    .join("\r\n") + "\r\n";
}

function field(text) {
  const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function download(name, columns, rows) {
  save(`${name}.csv`, csv(columns, rows), "text/csv;charset=utf-8");
}

/** Hand the viewer a file. */
export function save(name, content, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
