// Governance: what is in force, what members propose, who voted how; proposing and voting.

import { get } from "../core/api.js";
import { add, h, refill } from "../core/dom.js";
import { callForm, redrawOn } from "../core/form.js";
import { duration, integer, money, parseAmount, time } from "../core/format.js";
import { accountLink, factList, field, mark, moment, section } from "../core/parts.js";
import { walletNotice } from "../core/send.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";
import { comparison } from "./shadow.js";

const PAGE = 30;
const KINDS = { voting: "warn", counting: "warn", passed: "good", applied: "good", failed: "bad", expired: "bad", void: "bad" };
// A market's rules as people write them: the chain's name, and how a value is read.
const MARKET_RULES = {
  line_policy: ["line_policy", String],
  penalty_payee: ["penalty_payee", String],
  penalty_price: ["penalty_price_micro_per_kwh", micro],
  min_price: ["min_price_micro_per_kwh", micro],
  max_price: ["max_price_micro_per_kwh", micro],
  min_energy_kwh: ["min_energy_milli_wh", micro],
  default_pair_limit_kwh: ["default_pair_limit_milli_wh", (text) => (text === "none" ? null : micro(text))],
  max_offers_per_member: ["max_offers_per_member", whole],
};
const GOVERNANCE_RULES = { quorum: String, threshold: String, voting_period_ms: whole, notice_blocks: whole };

export async function render(stage, [number], context) {
  return number ? one(stage, number, context) : list(stage, context);
}

async function list(stage, context) {
  const before = context.query.get("before");
  const rules = h("div", {});
  const proposals = h("div", {});
  let page = null;
  const draw = async () => {
    page = await get("/proposals", { limit: PAGE, before });
    refill(rules, ruleFacts(page));
    refill(proposals, proposalTable(page.proposals),
      page.next !== null && h("p", { class: "pager" }, h("a", { class: "button quiet", href: `/governance?before=${page.next}` }, t("older"))));
  };
  await draw();
  const [{ parameters, }, { markets }, status] = await Promise.all([get("/params"), get("/markets"), get("/status")]);
  add(stage, h("h1", {}, t("nav_governance")), h("p", {}, t("governance_words")), section(t("proposals"), proposals),
    section(t("in_force"), rules, parameterDetails(parameters)),
    section(t("propose"), walletNotice(), proposeForm({ page, parameters, markets, height: Number(status.height), done: draw })));
  redrawOn(context, draw);
  return t("nav_governance");
}

function parameterDetails(parameters) {
  const place = h("div", {});
  const open = (event) => {
    if (event.target.open) refill(place, parameterTable(parameters));
  };
  return h("details", { ontoggle: open }, h("summary", {}, t("chain_parameters")), place);
}

function ruleFacts(page) {
  const { settings, engine } = page;
  const engineWords = [engine.name, ...Object.entries(engine.parameters).map(([name, value]) => `${name} ${integer(value)}`)].join(", ");
  return factList([
    [t("who_votes"), Object.entries(settings.voters).map(([role, weight]) => t("role_weight", { role, weight: integer(weight) })).join("; ")],
    [t("eligible"), integer(settings.eligible)],
    [t("quorum"), t("quorum_words", { part: settings.quorum.join("/") })],
    [t("threshold"), t("threshold_words", { part: settings.threshold.join("/") })],
    [t("voting_period"), duration(settings.voting_period_ms)],
    [t("notice"), t("blocks_count", { count: integer(settings.notice_blocks) })],
    [t("engine"), engineWords],
    [t("module_versions"), Object.entries(page.module_versions).map(([name, version]) => `${name} ${version}`).join(", ")],
  ]);
}

const parameterTable = (parameters) => table({
  caption: t("chain_parameters"), file: "parameters", rows: Object.entries(parameters).map(([name, value]) => ({ name, value })),
  columns: [
    { title: t("name"), cell: (row) => h("code", {}, `chain.${row.name}`), plain: (row) => row.name },
    { title: t("value"), number: true, cell: (row) => integer(row.value), plain: (row) => row.value },
  ],
});

/** A change as people write it: market.spot.penalty_price=0.2. */
export function changeWords(proposal) {
  const values = Object.entries(proposal.values);
  if (proposal.kind === "module") return `module.${proposal.name}=${proposal.values.version}`;
  if (proposal.kind === "engine") return [`engine=${proposal.name}`, ...values.map(([name, value]) => `engine.${name}=${value}`)].join(" ");
  const where = proposal.subject ? `${proposal.name}.${proposal.subject}` : proposal.name;
  return values.map(([name, value]) => {
    const rule = proposal.name === "market" && Object.entries(MARKET_RULES).find(([, [known]]) => known === name);
    if (!rule) return `${where}.${name}=${value}`;
    return `${where}.${rule[0]}=${value === null ? "none" : rule[1][1] === micro ? money(value) : value}`;
  }).join(" ");
}

function proposalTable(proposals) {
  return table({
    caption: t("proposals_caption"),
    file: "proposals",
    rows: proposals,
    empty: t("no_proposals"),
    columns: [
      { title: t("number"), cell: (row) => h("a", { href: `/governance/${row.number}` }, row.number), plain: (row) => row.number },
      { title: t("change"), cell: (row) => h("code", { class: "long" }, changeWords(row)), plain: changeWords },
      { title: t("state"), cell: (row) => status(row), plain: (row) => row.status },
      { title: t("from_height"), number: true, cell: (row) => integer(row.height), plain: (row) => row.height },
      { title: t("voting_ends"), cell: (row) => moment(row.ends_ms), plain: (row) => new Date(Number(row.ends_ms)).toISOString() },
      { title: t("proposer"), cell: (row) => accountLink(row.proposer, row.proposer_name), plain: (row) => row.proposer_name ?? row.proposer },
      { title: t("what_for"), cell: (row) => h("span", { class: "long" }, row.about || "–"), plain: (row) => row.about },
    ],
  });
}

const status = (proposal) => mark(t(`proposal_${proposal.status}`), KINDS[proposal.status]);

async function one(stage, number, context) {
  const facts = h("div", {});
  const votes = h("div", {});
  const title = t("proposal_title", { number });
  let open = false;
  const draw = async () => {
    const found = await get(`/proposals/${encodeURIComponent(number)}`);
    open = found.status === "voting";
    refill(facts, proposalFacts(found));
    refill(votes, tallyBars(found), found.ballots.length > 0 && ballotTable(found.ballots));
  };
  await draw();
  add(stage, h("h1", {}, title), facts, section(t("votes"), votes),
    open && section(t("vote"), walletNotice(), voteForm(Number(number), draw)),
    section(t("shadow"), comparison(number)),
    h("p", {}, h("a", { class: "button quiet", href: "/governance" }, t("all_proposals"))));
  redrawOn(context, draw);
  return title;
}

function proposalFacts(found) {
  return factList([
    [t("change"), h("code", { class: "long" }, changeWords(found))],
    [t("state"), status(found)],
    found.result && [t("reason"), h("code", {}, found.result)],
    [t("what_for"), h("span", { class: "long" }, found.about || "–")],
    [t("proposer"), accountLink(found.proposer, found.proposer_name)],
    [t("from_height"), integer(found.height)],
    [t("voting_ends"), `${time(found.ends_ms)}`],
  ]);
}

/** How the weights stand, as bars with their figures. */
function tallyBars(found) {
  const eligible = Math.max(1, Number(found.eligible));
  return h("div", { class: "bars", "data-tally": JSON.stringify(Object.values(found.tally).map(Number)) }, ["yes", "no", "abstain"].map((choice) => {
    const weight = Number(found.tally[choice]);
    return h("div", { class: "bar-row" }, h("span", {}, t(`choice_${choice}`)),
      h("meter", { min: 0, max: eligible, value: weight, "aria-label": t(`choice_${choice}`) }),
      h("span", { class: "number" }, t("weight_of", { weight: integer(weight), eligible: integer(found.eligible) })));
  }));
}

const ballotTable = (ballots) => table({
  caption: t("ballots_caption"), file: "votes", rows: ballots,
  columns: [
    { title: t("member"), cell: (row) => accountLink(row.account, row.account_name), plain: (row) => row.account_name ?? row.account },
    { title: t("vote"), cell: (row) => t(`choice_${row.choice}`), plain: (row) => row.choice },
    { title: t("weight"), number: true, cell: (row) => integer(row.weight), plain: (row) => row.weight },
  ],
});

const voteForm = (number, done) => callForm({
  id: "vote-form", label: t("vote"), done, inline: true,
  fields: field({ name: "choice", title: t("your_vote"), options: ["yes", "no", "abstain"].map((choice) => [choice, t(`choice_${choice}`)]) }),
  read: (data) => ({
    calls: [["governance", "vote", [number, data.get("choice")]]],
    words: [[t("what"), t("vote_words", { number })], [t("your_vote"), t(`choice_${data.get("choice")}`)]],
  }),
});

function proposeForm({ page, parameters, markets, height, done }) {
  const names = [
    ...markets.flatMap((market) => Object.keys(MARKET_RULES).map((rule) => `market.${market.name}.${rule}`)),
    ...Object.keys(parameters).map((name) => `chain.${name}`),
    ...Object.keys(GOVERNANCE_RULES).map((name) => `governance.${name}`),
    ...Object.keys(page.module_versions).map((name) => `module.${name}`), "engine",
  ];
  const { settings } = page;
  const ahead = Math.max(Number(settings.notice_blocks) + 1, Math.ceil(Number(settings.voting_period_ms) / Number(parameters.block_interval_ms)) + 10);
  return callForm({
    id: "propose-form", label: t("propose"), done,
    fields: [
      field({ name: "rule", title: t("rule"), options: names.map((name) => [name, name]) }),
      field({ name: "value", title: t("new_value"), note: t("new_value_note"), required: true, maxlength: 64 }),
      field({ name: "height", title: t("from_height"), note: t("from_height_note", { height: integer(height) }), required: true, inputmode: "numeric", value: height + ahead, maxlength: 15 }),
      field({ name: "about", title: t("what_for"), maxlength: 96 }),
    ],
    read: (data) => {
      const text = String(data.get("value")).trim();
      const call = proposalCall(data.get("rule"), text, whole(String(data.get("height")).trim()), data.get("about"));
      return { calls: [call], words: [[t("what"), t("propose_words")], [t("change"), h("code", {}, `${data.get("rule")}=${text}`)],
        [t("from_height"), integer(whole(data.get("height")))], data.get("about") && [t("what_for"), h("bdi", {}, data.get("about"))]] };
    },
  });
}

function proposalCall(rule, text, height, about) {
  const [kind, ...rest] = rule.split(".");
  if (kind === "engine") return ["governance", "propose_engine", [text, [], height, about]];
  if (kind === "module") return ["governance", "propose_module", [rest[0], whole(text), height, about]];
  const name = rest.at(-1);
  const subject = kind === "market" ? rest.slice(0, -1).join(".") : "";
  const pair = kind === "market" ? [MARKET_RULES[name][0], MARKET_RULES[name][1](text)] : [name, (GOVERNANCE_RULES[name] ?? whole)(text)];
  return ["governance", "propose_parameters", [kind, subject, [pair], height, about]];
}

function whole(text) {
  if (!/^\d{1,18}$/.test(String(text))) throw new Error(t("not_whole", { text }));
  return BigInt(text);
}

function micro(text) {
  const found = parseAmount(text, 6);
  if (found === null) throw new Error(t("not_an_amount", { field: t("new_value"), text }));
  return found;
}

