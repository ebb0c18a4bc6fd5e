// Network: who is connected, where the round stands, and what keeps the network from advancing.

import { get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { integer } from "../core/format.js";
import { blockLink, factList, mark, moment, section } from "../core/parts.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

const REFRESH_MS = 2_000;
const KINDS = { ok: "good", warning: "warn", problem: "bad" };

export async function render(stage, _rest, context) {
  const place = h("div", {});
  add(stage, h("h1", {}, t("nav_network")), place);
  const draw = async () => {
    const [status, { peers }, doctor, mempool] = await Promise.all([get("/status"), get("/peers"), get("/doctor"), get("/mempool")]);
    refill(place, health(doctor), round(status, mempool), peerTable(peers));
  };
  await draw();
  const timer = setInterval(() => {
    if (document.visibilityState === "visible") draw().catch(() => {});
  }, REFRESH_MS);
  context.signal.addEventListener("abort", () => clearInterval(timer));
  return t("nav_network");
}

function health(doctor) {
  return section(t("health"), h("ul", {}, doctor.findings.map((finding) =>
    h("li", {}, mark(t(`severity_${finding.severity}`), KINDS[finding.severity]), " ", finding.message))));
}

function round(status, mempool) {
  const { consensus } = status;
  // Between two blocks nobody votes, so nobody's vote is missing.
  const isIdle = consensus.step === "new_height";
  return section(t("round_now"), factList([
    [t("chain"), h("bdi", {}, status.chain)],
    [t("engine"), status.engine],
    [t("version"), status.version],
    [t("height"), [blockLink(status.height), " ", moment(status.time_ms)]],
    [t("tip"), integer(status.tip_height)],
    [t("deciding"), isIdle ? t("idle_words", { height: integer(consensus.height) }) : t("deciding_words", { height: integer(consensus.height), round: integer(consensus.round), step: consensus.step })],
    [t("proposer"), h("bdi", {}, consensus.proposer || "–")],
    [t("missing_prevotes"), (!isIdle && consensus.missing_prevotes.join(", ")) || "–"],
    [t("missing_precommits"), (!isIdle && consensus.missing_precommits.join(", ")) || "–"],
    [t("waiting_transactions"), `${integer(mempool.transactions)} (${integer(mempool.bytes)} / ${integer(mempool.max_bytes)} B)`],
    [t("syncing"), status.syncing ? t("yes") : t("no")],
  ]));
}

function peerTable(peers) {
  return section(t("peers"), table({
    caption: t("peers_caption"),
    file: "peers",
    rows: peers,
    columns: [
      { title: t("name"), cell: (row) => h("bdi", {}, row.name || "–"), plain: (row) => row.name },
      { title: t("address"), cell: (row) => h("code", {}, row.address), plain: (row) => row.address },
      { title: t("direction"), cell: (row) => t(`direction_${row.direction}`) },
      { title: t("height"), number: true, cell: (row) => integer(row.height), plain: (row) => row.height },
      { title: t("round_trip"), number: true, cell: (row) => (row.rtt_ms < 0 ? "–" : `${integer(row.rtt_ms)} ms`), plain: (row) => row.rtt_ms },
      { title: t("received"), number: true, cell: (row) => `${integer(row.bytes_in)} B`, plain: (row) => row.bytes_in },
      { title: t("sent"), number: true, cell: (row) => `${integer(row.bytes_out)} B`, plain: (row) => row.bytes_out },
    ],
  }));
}
