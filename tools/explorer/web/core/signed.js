// Requests signed by the opened key: a node tells readings only to those whom they concern.

import { ApiError, get } from "./api.js";
import { encode, fromHex, toHex } from "./codec.js";
import { sign, tagged } from "./crypto.js";
import { current } from "./store.js";

const BASE = "/api/v1";

/** GET a path as the holder of the opened key; as anybody where none is open. */
export async function getSigned(path, parameters = {}) {
  const key = current();
  if (!key) return get(path, parameters);
  const { genesis, node } = await get("/status");
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined));
  const target = `${BASE}${path}${query.size > 0 ? `?${query}` : ""}`;
  const time = Date.now();
  const digest = await tagged("api/request", encode([fromHex(genesis), node, "GET", target, key.account, time]));
  const signature = toHex(await sign(key.signing, digest));
  return get(path, parameters, { headers: { Authorization: `Bitenergy ${key.address} ${time} ${signature}` } });
}

/** GET a path as the holder of the opened key; as anybody where the network does not know the key. */
export async function getAsMember(path, parameters = {}) {
  try {
    return await getSigned(path, parameters);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return get(path, parameters);
    throw error;
  }
}

/** GET a path as anybody; where `isWithheld` misses something in the answer, as the holder of the opened key. */
export async function getWhole(path, parameters, isWithheld) {
  const found = await get(path, parameters);
  return current() && isWithheld(found) ? getAsMember(path, parameters) : found;
}
