// Sealed orders: what a member commits to, and the secrets that this browser keeps until they are
// opened, encrypted under a key that only the wallet's seed gives (docs/explorer.md).

import { encode, fromHex, toHex } from "./codec.js";
import { newSeed, tagged } from "./crypto.js";
import { current } from "./store.js";

const PLACE = "bitenergy.sealed";
const FORMAT = "bitenergy-sealed-orders";
const VERSION = 1;
const NONCE_BYTES = 12;
const SIDES = ["buy", "sell"];
const utf8 = new TextEncoder();

/** What stands on the chain of an account's order, 32 bytes; an order is {module, name, interval, side,
 *  pairs [[energy, price]…], salt}, in a day market also {lastGate}. */
export function commitmentOf(order, account) {
  const values = [order.name, order.interval, account, SIDES.indexOf(order.side), order.pairs];
  return order.module === "day"
    ? tagged("day/commitment", encode([...values, order.lastGate, order.salt]))
    : tagged("auction/commitment", encode([...values, order.salt]));
}

/** Give an order its salt and its commitment (hexadecimal); `keep` it before the commitment is sent. */
export async function seal(order) {
  const sealed = { ...order, salt: newSeed() };
  return { ...sealed, commitment: toHex(await commitmentOf(sealed, current().account)) };
}

/** Keep an order, or what is known of it now, under the opened key. */
export async function keep(order) {
  const { account, keeping } = current();
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const text = JSON.stringify(order, (_key, value) => (typeof value === "bigint" ? String(value) : value instanceof Uint8Array ? toHex(value) : value));
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData: associated(account, order.commitment) }, keeping, utf8.encode(text));
  const own = stored()[toHex(account)] ?? {};
  store(account, { ...own, [order.commitment]: { nonce: toHex(nonce), ciphertext: toHex(new Uint8Array(sealed)) } });
}

/** The orders of a market or auction that the opened key can read. */
export async function keptOrders(module, name) {
  const key = current();
  const found = await Promise.all(Object.entries(stored()[toHex(key.account)] ?? {}).map((entry) => read(key, entry).catch(() => null)));
  return found.filter((order) => order?.module === module && order.name === name);
}

/** Keep an order no longer. */
export function dropOrder(commitment) {
  const { account } = current();
  const { [commitment]: _gone, ...left } = stored()[toHex(account)] ?? {};
  store(account, left);
}

/** All orders of the opened key as a file (an object for JSON), as sealed as they are here. */
export function exportOrders() {
  const account = toHex(current().account);
  return { format: FORMAT, version: VERSION, account, orders: stored()[account] ?? {} };
}

/** Keep the orders of such a file too; returns how many there are. Throws an Error with a `code`. */
export async function importOrders(file) {
  const key = current();
  if (file?.format !== FORMAT || file.version !== VERSION || file.account !== toHex(key.account)) throw refusal();
  const orders = Object.entries(file.orders ?? {});
  await Promise.all(orders.map((entry) => read(key, entry).catch(() => { throw refusal(); })));
  store(key.account, { ...file.orders, ...stored()[file.account] });
  return orders.length;
}

async function read({ account, keeping }, [commitment, { nonce, ciphertext }]) {
  const data = await crypto.subtle.decrypt({ name: "AES-GCM", iv: fromHex(nonce), additionalData: associated(account, commitment) }, keeping, fromHex(ciphertext));
  const order = JSON.parse(new TextDecoder().decode(data));
  return { ...order, commitment, interval: BigInt(order.interval), lastGate: order.lastGate && BigInt(order.lastGate), salt: fromHex(order.salt), pairs: order.pairs.map((pair) => pair.map(BigInt)) };
}

const associated = (account, commitment) => encode([FORMAT, VERSION, account, fromHex(commitment)]);

function stored() {
  try {
    return JSON.parse(localStorage.getItem(PLACE) ?? "{}");
  } catch {
    // What is stored is nothing that these pages wrote.
    return {};
  }
}

function store(account, orders) {
  localStorage.setItem(PLACE, JSON.stringify({ ...stored(), [toHex(account)]: orders }));
}

function refusal() {
  return Object.assign(new Error("not sealed orders of this key"), { code: "sealed_malformed" });
}
