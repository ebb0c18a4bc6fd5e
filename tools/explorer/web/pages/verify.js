// Verify: drop a proof, see each step checked in this browser.

import { get, parse } from "../core/api.js";
import { fromBase64 } from "../core/codec.js";
import { canSign } from "../core/crypto.js";
import { add, h, refill } from "../core/dom.js";
import { factList, field, mark, problem } from "../core/parts.js";
import { trustBlock, trustGenesis, verifyProof } from "../core/proof.js";
import { getAsMember } from "../core/signed.js";
import { t } from "../core/text.js";

const MAX_PROOF_BYTES = 4_000_000;

export async function render(stage, _rest, context) {
  const result = h("div", { "aria-live": "polite" });
  const trust = { text: "", document: null };
  const check = (bytes, named = null) => show(result, bytes, trust, named).catch((error) => refill(result, problem(error)));
  add(stage, h("h1", {}, t("nav_verify")), h("p", {}, t("verify_words")),
    canSign() ? null : h("p", { class: "notice" }, t("needs_https")),
    trustForm(trust), dropZone(check), result);
  const named = context.query.get("account")
    ? `/proofs/account/${encodeURIComponent(context.query.get("account"))}`
    : context.query.get("transaction") && `/proofs/transaction/${encodeURIComponent(context.query.get("transaction"))}`;
  if (named && canSign()) {
    const found = await getAsMember(named);
    await check(fromBase64(found.proof), `${found.height}:${found.block_id}`);
  }
  return t("nav_verify");
}

function trustForm(trust) {
  const said = h("p", { class: "note", role: "status" });
  const choose = async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    try {
      trust.document = parse(await file.text());
      said.textContent = t("genesis_chosen", { name: file.name });
    } catch {
      said.textContent = t("no_genesis");
    }
  };
  return h("form", { class: "stack", onsubmit: (event) => event.preventDefault() },
    field({ name: "genesis", title: t("trust_genesis"), note: t("trust_genesis_note"), type: "file", accept: ".json,application/json", onchange: choose }),
    said,
    field({ name: "block", title: t("trust_block"), note: t("trust_block_note"), maxlength: 90, spellcheck: "false",
      oninput: (event) => { trust.text = event.target.value.trim(); } }));
}

function dropZone(check) {
  const take = async (file) => {
    if (file && file.size <= MAX_PROOF_BYTES) await check(new Uint8Array(await file.arrayBuffer()));
  };
  const zone = h("div", { class: "drop",
    ondragover: (event) => { event.preventDefault(); zone.classList.add("over"); },
    ondragleave: () => zone.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      take(event.dataTransfer.files[0]);
    } },
    field({ name: "proof", title: t("proof_file"), note: t("proof_file_note"), type: "file", onchange: (event) => take(event.target.files[0]) }));
  return zone;
}

/** What was chosen, else this node's genesis, else, where its validators follow from stakes, the
 *  block that the node names. */
async function chosenTrust(trust, named) {
  if (trust.text) return { ...trustBlock(trust.text), words: t("trusted_block_words") };
  if (trust.document) return { ...(await trustGenesis(trust.document)), words: t("trusted_genesis_words") };
  const document = await get("/genesis/document");
  const staked = Object.keys(document.modules?.staking?.stakes ?? {}).length > 0;
  if (staked && named) return { ...trustBlock(named), words: t("trusted_node_block_words") };
  return { ...(await trustGenesis(document)), words: t("trusted_node_words") };
}

async function show(result, bytes, trust, named) {
  const steps = h("ol", { class: "steps" });
  refill(result, h("h2", {}, t("checks")), steps);
  const tell = (step, facts) => steps.append(h("li", {}, mark(t("holds"), "good"), " ", t(`check_${step}`, facts)));
  const chosen = await chosenTrust(trust, named);
  steps.append(h("li", {}, chosen.words));
  const verdict = await verifyProof(bytes, chosen, tell);
  if (!verdict.holds) {
    steps.append(h("li", {}, mark(t("fails"), "bad"), " ", verdict.reason));
    result.append(h("p", { class: "problem", role: "alert", "data-verdict": "no" }, t("proof_fails")));
    return;
  }
  result.append(h("p", { class: "notice", "data-verdict": "yes" }, t("proof_holds")),
    factList(Object.entries(verdict.found).map(([name, value]) => [name, h("span", { class: "long mono" }, String(value))])));
}
