// Stakes: who validates with which power, what is staked behind whom, what it earns and when it is
// free; under proof of work who mined the last blocks, and how hard that is.

import { get } from "../core/api.js";
import { accountOfAddress } from "../core/crypto.js";
import { add, h, refill } from "../core/dom.js";
import { amountOf, callForm, redrawOn } from "../core/form.js";
import { duration, integer, money, percent, time } from "../core/format.js";
import { accountLink, blockLink, factList, field, mark, moment, problem, section } from "../core/parts.js";
import { walletNotice } from "../core/send.js";
import { current } from "../core/store.js";
import { table } from "../core/table.js";
import { t } from "../core/text.js";

const MINED = 100;

export async function render(stage, [who], context) {
  return who ? one(stage, who, context) : overview(stage, context);
}

async function overview(stage, context) {
  const status = await get("/status");
  const place = h("div", {});
  const own = h("div", {});
  const isWork = status.engine === "pow";
  add(stage, h("h1", {}, t("nav_stakes")), h("p", {}, t(`engine_words_${status.engine}`, {}, "")), place);
  const draw = async () => refill(place, isWork ? await work() : await validators());
  await draw();
  redrawOn(context, draw);
  if (isWork) return t("nav_stakes");
  const staking = await get("/staking");
  add(stage, section(t("terms"), termFacts(staking.terms)));
  if (staking.terms.token === "none") return t("nav_stakes");
  const redraw = async () => {
    const key = current();
    if (key) refill(own, ownStakes(await get(`/stakes/${key.address}`), redraw));
    await draw();
  };
  add(stage, section(t("your_stakes"), walletNotice(), own, stakeForms(staking, redraw)), accountForm(context));
  await redraw().catch((error) => refill(own, problem(error)));
  return t("nav_stakes");
}

async function validators() {
  const [seats, staking] = await Promise.all([get("/validators"), get("/staking")]);
  const staked = new Map(staking.validators.map((row) => [row.validator, row]));
  const waiting = staking.validators.filter((row) => !seats.validators.some((seat) => seat.address === row.validator));
  const rows = [
    ...seats.validators.map((row) => ({ ...staked.get(row.address), address: row.address, name: row.name, power: row.power })),
    ...waiting.map((row) => ({ ...row, address: row.validator, name: row.validator_name, power: 0 })),
  ];
  const share = (row) => (Number(row.power) / Number(seats.total_power));
  return section(t("validators"), table({
    caption: t("validators_caption", { height: integer(seats.height), total: integer(seats.total_power) }), file: "validators", rows,
    columns: [
      { title: t("name"), cell: (row) => accountLink(row.address, row.name), plain: (row) => row.name ?? row.address },
      { title: t("power"), number: true, cell: (row) => integer(row.power), plain: (row) => row.power },
      { title: t("share"), number: true, cell: (row) => percent(share(row), 1), plain: (row) => share(row).toFixed(6) },
      { title: t("stake"), number: true, cell: (row) => (row.stake_micro === undefined ? "–" : money(row.stake_micro)), plain: (row) => row.stake_micro ?? "" },
      { title: t("commission"), number: true, cell: (row) => (row.commission_percent === undefined ? "–" : percent(row.commission_percent / 100)), plain: (row) => row.commission_percent ?? "" },
      { title: t("state"), cell: (row) => (row.power ? mark(t("validates"), "good") : mark(t("too_little_stake"), "warn")), plain: (row) => (row.power ? "validates" : "waits") },
      { title: t("slashed_at"), cell: (row) => (row.slashed_height ? blockLink(row.slashed_height) : "–"), plain: (row) => row.slashed_height ?? "" },
    ],
  }));
}

function termFacts(terms) {
  return factList([
    [t("staked_token"), t(`token_${terms.token}`)],
    terms.token !== "none" && [t("min_stake"), money(terms.min_stake_micro)],
    terms.token !== "none" && [t("max_validators"), integer(terms.max_validators)],
    terms.token !== "none" && [t("unbonding"), duration(terms.unbonding_ms)],
    [t("block_reward"), money(terms.block_reward_micro)],
    [t("fees_go"), terms.share_fees ? t("fees_shared") : t("fees_proposer")],
    [t("fault_costs"), [terms.token !== "none" && t("slash_part", { percent: integer(terms.slash_percent) }), Number(terms.fine_micro) > 0 && t("fine_of", { amount: money(terms.fine_micro) }),
      terms.expel && t("expelled")].filter(Boolean).join("; ") || "–"],
  ]);
}

function stakeForms(staking, done) {
  if (!current()) return null;
  const names = staking.validators.map((row) => [row.validator, row.validator_name ?? row.validator]);
  const nameOf = new Map(names);
  return h("div", { class: "columns" },
    section(t("delegate"), callForm({
      id: "delegate-form", label: t("delegate"), done,
      fields: [field({ name: "validator", title: t("validator"), options: names }),
        field({ name: "stake", title: t("stake_tokens"), inputmode: "decimal", required: true, maxlength: 24 })],
      read: async (data) => {
        const amount = amountOf(data, "stake", t("stake"));
        const validator = data.get("validator");
        const account = await accountOfAddress(validator);
        const isOwn = validator === current()?.address;
        return { calls: [isOwn ? ["staking", "bond", [amount]] : ["staking", "delegate", [account, amount]]],
          words: [[t("what"), t("delegate_words")], [t("validator"), h("bdi", {}, nameOf.get(validator))], [t("stake"), money(amount)]] };
      },
    })),
    names.some(([address]) => address === current()?.address) && section(t("commission"), callForm({
      id: "commission-form", label: t("set_commission"), done,
      fields: field({ name: "percent", title: t("commission_percent"), type: "number", min: 0, max: 100, required: true }),
      read: (data) => ({ calls: [["staking", "set_commission", [Number(data.get("percent"))]]],
        words: [[t("what"), t("commission_words")], [t("commission"), `${data.get("percent")} %`]] }),
    })));
}

function ownStakes(found, done) {
  return [stakeTable(found), found.stakes.map((stake) => h("div", { class: "tile" },
    h("p", { class: "tile-title" }, t("stake_with", { validator: stake.validator_name ?? stake.validator })),
    h("div", { class: "row" },
      callForm({
        label: t("unbond"), done, inline: true, quiet: true,
        fields: field({ name: `unbond-${stake.validator_name ?? stake.validator}`, title: t("stake_tokens"), inputmode: "decimal", required: true, maxlength: 24 }),
        read: async (data) => {
          const [name] = [...data.keys()];
          const amount = amountOf(data, name, t("stake"));
          return { calls: [["staking", "unbond", [await accountOfAddress(stake.validator), amount]]],
            words: [[t("what"), t("unbond_words")], [t("validator"), h("bdi", {}, stake.validator_name ?? stake.validator)], [t("stake"), money(amount)]] };
        },
      }),
      callForm({
        label: t("withdraw_rewards"), done, inline: true, quiet: true, fields: null,
        read: async () => ({ calls: [["staking", "withdraw", [await accountOfAddress(stake.validator)]]],
          words: [[t("what"), t("withdraw_rewards_words")], [t("validator"), h("bdi", {}, stake.validator_name ?? stake.validator)], [t("rewards"), money(stake.reward_micro)]] }),
      })))), unbondingTable(found)];
}

const stakeTable = (found) => table({
  caption: t("stakes_caption"), file: `stakes-${found.name ?? found.address}`, rows: found.stakes, empty: t("nothing_staked"),
  columns: [
    { title: t("validator"), cell: (row) => accountLink(row.validator, row.validator_name), plain: (row) => row.validator_name ?? row.validator },
    { title: t("stake"), number: true, cell: (row) => money(row.stake_micro), plain: (row) => row.stake_micro },
    { title: t("rewards"), number: true, cell: (row) => money(row.reward_micro), plain: (row) => row.reward_micro },
  ],
});

const unbondingTable = (found) => found.unbondings.length > 0 && section(t("unbondings"), table({
  caption: t("unbondings_caption"), file: "unbondings", rows: found.unbondings,
  columns: [
    { title: t("validator"), cell: (row) => accountLink(row.validator, row.validator_name), plain: (row) => row.validator_name ?? row.validator },
    { title: t("stake"), number: true, cell: (row) => money(row.amount_micro), plain: (row) => row.amount_micro },
    { title: t("slashed"), number: true, cell: (row) => money(row.slashed_micro), plain: (row) => row.slashed_micro },
    { title: t("free_at"), cell: (row) => moment(row.due_ms), plain: (row) => new Date(Number(row.due_ms)).toISOString() },
  ],
}));

function accountForm(context) {
  const look = (event) => {
    event.preventDefault();
    context.go(`/stakes/${encodeURIComponent(new FormData(event.target).get("who").trim())}`);
  };
  return section(t("stakes_of"), h("form", { class: "row", onsubmit: look }, field({ name: "who", title: t("recipient_note"), required: true, maxlength: 42, spellcheck: "false" }),
    h("button", { type: "submit", class: "quiet" }, t("show"))));
}

async function one(stage, who) {
  const found = await get(`/stakes/${encodeURIComponent(who)}`);
  const title = t("stakes_title", { name: found.name ?? found.address });
  add(stage, h("h1", {}, title), factList([
    [t("account"), accountLink(found.address, found.name)],
    Number(found.points_micro) > 0 && [t("points"), money(found.points_micro)],
    Number(found.commission_micro) > 0 && [t("commission_earned"), money(found.commission_micro)],
  ]), stakeTable(found), unbondingTable(found), h("p", {}, h("a", { class: "button quiet", href: "/stakes" }, t("nav_stakes"))));
  return title;
}

/** Under proof of work: whose blocks the last ones are, and what a block needs now. */
async function work() {
  const [status, page] = await Promise.all([get("/status"), get("/blocks", { limit: MINED })]);
  // Nobody found block 0.
  const blocks = page.blocks.filter((block) => Number(block.height) > 0);
  if (blocks.length === 0) return h("p", { class: "empty" }, t("nothing_here"));
  const { header } = await get(`/blocks/${blocks[0].height}`, { limit: 1 });
  const mined = new Map();
  for (const block of blocks) {
    const known = mined.get(block.proposer) ?? { address: block.proposer, name: block.proposer_name, blocks: 0 };
    mined.set(block.proposer, { ...known, blocks: known.blocks + 1 });
  }
  const rows = [...mined.values()].sort((left, right) => right.blocks - left.blocks);
  const spanS = (Number(blocks[0].time_ms) - Number(blocks.at(-1).time_ms)) / 1000;
  return [
    factList([
      [t("difficulty"), header.seal ? integer(BigInt(`0x${header.seal.slice(0, 16)}`)) : "–"],
      [t("mean_block_time"), blocks.length > 1 ? duration(1000 * Math.round((10 * spanS) / (blocks.length - 1)) / 10) : "–"],
      [t("final_height"), blockLink(status.final_height)],
      [t("tip"), integer(status.tip_height)],
      [t("time"), time(blocks[0].time_ms)],
    ]),
    section(t("miners"), table({
      caption: t("miners_caption", { count: integer(blocks.length) }), file: "miners", rows,
      columns: [
        { title: t("name"), cell: (row) => accountLink(row.address, row.name), plain: (row) => row.name ?? row.address },
        { title: t("blocks_mined"), number: true, cell: (row) => integer(row.blocks), plain: (row) => row.blocks },
      ],
    })),
  ];
}
