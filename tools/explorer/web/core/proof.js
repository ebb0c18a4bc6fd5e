// Verifies proofs in the browser, step by step (docs/protocol.md, Proofs): the same checks as
// tools/verify_proof.py, each reported as it is made.

import { compare, concat, decode, encode, fromHex, toHex } from "./codec.js";
import { addressOf, tagged, verify } from "./crypto.js";

const EMPTY = new Uint8Array(32);
const HEADER = [
  "genesis", "height", "time_ms", "parent", "last_commit", "evidence_root", "transactions_root",
  "state_root", "receipts_root", "validators", "next_validators", "parameters", "gas_used",
  "proposer", "seal",
];
const NUMBERS = ["height", "time_ms", "gas_used"];
const ACCOUNT = [
  "key", "roles", "status", "nonce", "money_micro", "money_reserved_micro", "energy_milli_wh",
  "energy_reserved_milli_wh",
];
const MAX_STEPS = 1_024;

const same = (left, right) => left.length === right.length && compare(left, right) === 0;

class Refused extends Error {}

function require(condition, reason) {
  if (!condition) throw new Refused(reason);
}

const kinds = {
  int: (value) => typeof value === "number" || typeof value === "bigint",
  bytes: (value) => value instanceof Uint8Array,
  text: (value) => typeof value === "string",
  list: (value) => Array.isArray(value),
};

function isArray(value, ...wanted) {
  return Array.isArray(value) && value.length === wanted.length && value.every((item, at) => kinds[wanted[at]](item));
}

const bigEndian = (number) => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number));
  return bytes;
};

/** What a genesis document (parsed JSON) lets a reader trust. */
export async function trustGenesis(document) {
  const staking = document.modules?.staking ?? {};
  require(!staking.stakes || Object.keys(staking.stakes).length === 0, "validators follow from stakes here: give HEIGHT:BLOCK_ID");
  const entries = [];
  for (const member of document.members) {
    if (!member.roles.includes("validator")) continue;
    const account = (await tagged("account", fromHex(member.key))).slice(0, 20);
    entries.push([fromHex(member.vote_key), 1, account]);
  }
  entries.sort((left, right) => compare(left[2], right[2]));
  return {
    genesis: await tagged("genesis", encode(asMaps(document))),
    validators: await tagged("validators", encode([5, 1, entries])),
    height: 1,
    blockId: null,
  };
}

/** What "HEIGHT:BLOCK_ID" lets a reader trust. */
export function trustBlock(text) {
  const match = /^(\d{1,15}):([0-9a-f]{64})$/i.exec(text.trim());
  require(match, "a block is trusted as HEIGHT:BLOCK_ID");
  return { genesis: EMPTY, validators: EMPTY, height: Number(match[1]), blockId: fromHex(match[2]) };
}

function asMaps(value) {
  if (Array.isArray(value)) return value.map(asMaps);
  if (value !== null && typeof value === "object") {
    return new Map(Object.entries(value).map(([key, item]) => [key, asMaps(item)]));
  }
  return value;
}

async function readHeader(bytes) {
  const value = decode(bytes);
  const wanted = HEADER.map((name) => (NUMBERS.includes(name) ? "int" : "bytes"));
  require(isArray(value, "int", "int", ...wanted) && value[0] === 2 && value[1] === 1, "not a header");
  const fields = Object.fromEntries(HEADER.map((name, at) => [name, value[at + 2]]));
  return { ...fields, block_id: await tagged("header", bytes) };
}

async function verifyFinality([headerBytes, certificateBytes, validatorBytes], trust, tell) {
  const header = await readHeader(headerBytes);
  if (trust.blockId) {
    require(header.height === trust.height && same(header.block_id, trust.blockId), "the proof begins at another block");
    tell("trusted_block", { height: header.height });
    return header;
  }
  require(same(header.genesis, trust.genesis), "the proof is of another network");
  require(header.height >= trust.height, "the blocks of the proof do not ascend");
  require(same(header.validators, trust.validators), "the block is not of the trusted validators");
  require(same(await tagged("validators", validatorBytes), trust.validators), "these are other validators");
  const validators = decode(validatorBytes)[2];
  const certificate = decode(certificateBytes);
  require(isArray(certificate, "int", "int", "int", "int", "bytes", "list"), "not a certificate");
  const [kind, version, height, round, blockId, signers] = certificate;
  require(kind === 4 && version === 1 && round >= 0 && round < 2 ** 31, "not a certificate");
  require(height === header.height && same(blockId, header.block_id), "the certificate is of another block");
  const digest = await tagged("vote/sign", encode([trust.genesis, 2, height, round, blockId]));
  let weight = 0n;
  let previous = -1;
  for (const signer of signers) {
    require(isArray(signer, "int", "bytes"), "not a signer");
    const [index, signature] = signer;
    require(previous < index && index < validators.length, "signers ascend, each a validator, each once");
    require(signature.length === 64, "a signature has 64 bytes");
    require(await verify(validators[index][0], signature, digest), `the signature of validator ${index} is wrong`);
    weight += BigInt(validators[index][1]);
    previous = index;
  }
  const total = validators.reduce((sum, [, power]) => sum + BigInt(power), 0n);
  require(weight * 3n > total * 2n, `power ${weight} of ${total} is not more than two thirds`);
  tell("signed", { height, weight: String(weight), total: String(total), signers: signers.length });
  return header;
}

async function follow(steps, trust, tell) {
  let header;
  for (const step of steps) {
    header = await verifyFinality(step, trust, tell);
    trust = { genesis: header.genesis, validators: header.next_validators, height: header.height + 1, blockId: null };
  }
  return header;
}

const bitCount = (bits) => (bits & 1) + ((bits >> 1) & 1) + ((bits >> 2) & 1);

async function verifyState(root, key, value, way) {
  require(isArray(way, "bytes", "bytes", "bytes"), "not a state proof");
  const [bitmap, joined, other] = way;
  const siblings = [];
  for (let at = 0; at < joined.length; at += 32) siblings.push(joined.slice(at, at + 32));
  require(bitmap.length <= 128 && bitmap.every((bits) => bits <= 7), "a level has three siblings");
  require(joined.length === 32 * bitmap.reduce((sum, bits) => sum + bitCount(bits), 0), "siblings too many or too few");
  require(!siblings.some((sibling) => same(sibling, EMPTY)) && bitmap[0] !== 0, "empty siblings are left out");
  require((other.length === 0 || other.length === 64) && !(other.length && value !== null), "no other leaf is here");
  const digest = await tagged("state/key", key);
  const depth = bitmap.length;
  const place = (at) => (digest[at >> 2] >> (6 - 2 * (at & 3))) & 3;
  let current = EMPTY;
  if (value !== null) current = await tagged("state/leaf", digest, await tagged("state/value", value));
  else if (other.length) {
    require(!same(other.slice(0, 32), digest), "the other leaf is not on the way");
    for (let at = 0; at < depth; at += 1) {
      const theirs = (other[at >> 2] >> (6 - 2 * (at & 3))) & 3;
      require(theirs === place(at), "the other leaf is not on the way");
    }
    current = await tagged("state/leaf", other);
  }
  for (const [number, bits] of bitmap.entries()) {
    const children = [4, 2, 1].map((bit) => (bits & bit ? siblings.shift() : EMPTY));
    children.splice(place(depth - number - 1), 0, current);
    current = await tagged("state/node", concat(children));
  }
  require(same(current, root), "the way does not lead to the block's state root");
}

async function verifyInList(root, item, path, what) {
  require(isArray(path, "int", "int", "bytes"), "not a Merkle proof");
  let [index, count, joined] = path;
  require(Number.isSafeInteger(count) && index >= 0 && index < count, "not a Merkle proof");
  let current = await tagged("leaf", item);
  let at = 0;
  let width = count;
  while (width > 1) {
    if ((index ^ 1) < width) {
      const sibling = joined.slice(at, at + 32);
      at += 32;
      current = await tagged("node", ...(index & 1 ? [sibling, current] : [current, sibling]));
    }
    index = Math.floor(index / 2);
    width = Math.floor((width + 1) / 2);
  }
  require(at === joined.length, "siblings too many or too few");
  current = await tagged("root", bigEndian(count), current);
  require(same(current, root), `the ${what} is not in the block`);
}

/** Check a proof's bytes against what the reader trusts. `tell(step, facts)` hears of each check
 *  that held. Returns {holds: true, found} or {holds: false, reason}. */
export async function verifyProof(bytes, trust, tell) {
  try {
    return { holds: true, found: await checked(bytes, await trust, tell) };
  } catch (error) {
    return { holds: false, reason: error.message };
  }
}

async function checked(bytes, trust, tell) {
  let value = decode(bytes);
  let steps = [];
  if (isArray(value, "int", "int", "list", "bytes") && value[0] === 42 && value[1] === 1) {
    require(value[2].length > 0 && value[2].length <= MAX_STEPS, "too many steps, or none");
    steps = value[2];
    require(steps.every((step) => isArray(step, "bytes", "bytes", "bytes")), "not a step");
    value = decode(value[3]);
  }
  const blockParts = value.slice?.(2, 5);
  if (isArray(value, "int", "int", "bytes", "bytes", "bytes", "bytes", "list", "list") && value[0] === 40 && value[1] === 1) {
    return provedState(value, await follow([...steps, blockParts], trust, tell), tell);
  }
  const fits = isArray(value, "int", "int", "bytes", "bytes", "bytes", "bytes", "list", "bytes", "list");
  require(fits && value[0] === 41 && value[1] === 1, "not a proof of this version");
  return provedTransaction(value, await follow([...steps, blockParts], trust, tell), tell);
}

async function provedState(value, header, tell) {
  const [key, held, way] = value.slice(5);
  require(key.length >= 1 && key.length <= 256 && (held.length === 0 || isArray(held, "bytes")), "not a state proof");
  const leaf = held.length ? held[0] : null;
  await verifyState(header.state_root, key, leaf, way);
  tell("state", { key: toHex(key), exists: leaf !== null });
  const found = { ...facts(header), state_key: toHex(key), value: leaf && toHex(leaf) };
  if (key[0] === 0x61 && key.length === 21) {
    found.account = await addressOf(key.slice(1));
    if (leaf) decode(leaf).slice(2).forEach((item, at) => { found[ACCOUNT[at] ?? at] = shown(item); });
  }
  return found;
}

async function provedTransaction(value, header, tell) {
  const [transaction, path, receipt, receiptPath] = value.slice(5);
  const id = await tagged("tx", transaction);
  const fields = decode(receipt);
  require(isArray(fields, "int", "int", "bytes", "text", "int", "int", "list", "list"), "not a receipt");
  require(fields[0] === 8 && fields[1] === 1 && same(fields[2], id), "the receipt is of another transaction");
  await verifyInList(header.transactions_root, id, path, "transaction");
  tell("transaction", { id: toHex(id) });
  await verifyInList(header.receipts_root, receipt, receiptPath, "receipt");
  tell("receipt", { code: fields[3] });
  const events = fields[6].map(([module, name, values]) => `${module}.${name} ${values.map(shown).join(" ")}`);
  return { ...facts(header), transaction: toHex(id), code: fields[3] || "ok", events: events.join("\n") };
}

const facts = (header) => ({
  genesis: toHex(header.genesis),
  height: header.height,
  time_ms: header.time_ms,
  block_id: toHex(header.block_id),
});

function shown(item) {
  if (item instanceof Uint8Array) return toHex(item);
  return Array.isArray(item) ? `[${item.map(shown).join(", ")}]` : String(item);
}
