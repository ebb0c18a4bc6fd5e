// The keys of the browser wallet: encrypted key files in this browser's storage; an opened key stays
// in memory until the page is left or locked, and cannot be exported from there.

import { fromHex, toHex } from "./codec.js";
import { accountOf, addressOf, keepingKey, keyOf } from "./crypto.js";
import { openKey, sealKey } from "./keyfile.js";

const PLACE = "bitenergy.keys";
let opened = null;
const watchers = new Set();

/** Have `watcher` called when a key is opened, locked, kept or forgotten. */
export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function changed() {
  for (const watcher of [...watchers]) watcher();
}

/** The key files by account (hexadecimal). */
export function keyFiles() {
  try {
    return JSON.parse(localStorage.getItem(PLACE) ?? "{}");
  } catch {
    return {};
  }
}

function keep(file) {
  localStorage.setItem(PLACE, JSON.stringify({ ...keyFiles(), [file.account]: file }));
  changed();
}

/** Seal a seed under a password and keep it; returns its key file. */
export async function createKey(seed, password) {
  const { publicKey } = await keyOf(seed);
  const file = await sealKey(seed, await accountOf(publicKey), password);
  keep(file);
  await open(file, seed);
  return file;
}

/** Keep a key file from elsewhere, after the password opened it. */
export async function importKey(file, password) {
  const seed = await openKey(file, password);
  if (file.protection.kind === "unencrypted") {
    const sealed = await sealKey(seed, fromHex(file.account), password);
    keep(sealed);
  } else keep(file);
  await open(file, seed);
}

export async function unlock(account, password) {
  const file = keyFiles()[account];
  await open(file, await openKey(file, password));
}

async function open(file, seed) {
  const { signing, publicKey } = await keyOf(seed);
  const account = fromHex(file.account);
  opened = { signing, publicKey, account, address: await addressOf(account), keeping: await keepingKey(seed) };
  changed();
}

export function lock() {
  opened = null;
  changed();
}

export function forget(account) {
  const files = keyFiles();
  delete files[account];
  localStorage.setItem(PLACE, JSON.stringify(files));
  if (opened && toHex(opened.account) === account) opened = null;
  changed();
}

/** The opened key {signing, publicKey, account, address, keeping}, or null. */
export const current = () => opened;
