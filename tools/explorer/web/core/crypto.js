// Hashes, signatures and addresses of the chain, by the browser's own WebCrypto. Browsers give it
// only to pages from this machine (localhost) and from HTTPS.

import { compare, concat } from "./codec.js";

const utf8 = new TextEncoder();
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
// PKCS #8 of an Ed25519 key (RFC 8410) before its 32-byte seed.
const PKCS8_HEAD = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20);

/** Whether this page may use keys. */
export const canSign = () => globalThis.isSecureContext !== false && globalThis.crypto?.subtle !== undefined;

/** SHA-256 of a tag and bytes: every kind of object has a tag of its own. */
export async function tagged(tag, ...parts) {
  const name = utf8.encode(tag);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat([Uint8Array.of(name.length), name, ...parts])));
}

/** The account that a first key opens: 20 bytes. */
export async function accountOf(publicKey) {
  return (await tagged("account", publicKey)).slice(0, 20);
}

/** The address of an account: checksummed text. */
export async function addressOf(account) {
  const checksum = (await tagged("address", account)).slice(0, 5);
  let bits = 0n;
  for (const byte of [...account, ...checksum]) bits = (bits << 8n) | BigInt(byte);
  let text = "";
  for (let place = 0; place < 40; place += 1) {
    text = BASE32[Number(bits & 31n)] + text;
    bits >>= 5n;
  }
  return `be${text}`;
}

/** The account of an address; throws an Error for one that fails its checksum. */
export async function accountOfAddress(address) {
  if (!/^be[a-z2-7]{40}$/.test(address)) throw new Error("not an address");
  let bits = 0n;
  for (const letter of address.slice(2)) bits = (bits << 5n) | BigInt(BASE32.indexOf(letter));
  const bytes = new Uint8Array(25);
  for (let place = 24; place >= 0; place -= 1) {
    bytes[place] = Number(bits & 255n);
    bits >>= 8n;
  }
  const account = bytes.slice(0, 20);
  const checksum = (await tagged("address", account)).slice(0, 5);
  if (compare(checksum, bytes.slice(20)) !== 0) throw new Error("the address is mistyped: its checksum does not hold");
  return account;
}

/** A new seed: 32 random bytes. */
export const newSeed = () => crypto.getRandomValues(new Uint8Array(32));

/** The signing key of a seed, not to be exported, with its public key. */
export async function keyOf(seed) {
  const exportable = await crypto.subtle.importKey("pkcs8", concat([PKCS8_HEAD, seed]), "Ed25519", true, ["sign"]);
  const described = await crypto.subtle.exportKey("jwk", exportable);
  const publicKey = Uint8Array.from(atob(described.x.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const signing = await crypto.subtle.importKey("pkcs8", concat([PKCS8_HEAD, seed]), "Ed25519", false, ["sign"]);
  return { signing, publicKey };
}

/** The key under which secrets of a seed's owner are kept, not to be exported: HKDF with SHA-256. */
export async function keepingKey(seed) {
  const base = await crypto.subtle.importKey("raw", seed, "HKDF", false, ["deriveKey"]);
  const derivation = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: utf8.encode("bitenergy/sealed-orders") };
  return crypto.subtle.deriveKey(derivation, base, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

/** The signature of bytes: 64 bytes. */
export async function sign(signing, data) {
  return new Uint8Array(await crypto.subtle.sign("Ed25519", signing, data));
}

/** Whether a signature of bytes holds. */
export async function verify(publicKey, signature, data) {
  try {
    const key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", key, signature, data);
  } catch {
    return false;
  }
}
