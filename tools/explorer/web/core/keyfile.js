// Key files of the browser's wallet: a seed under a password, by PBKDF2 and AES-GCM, which browsers
// have. The command line reads them (node/keyfile.py), and writes such files if asked to.

import { encode, fromHex, toHex } from "./codec.js";
import { keyOf } from "./crypto.js";

const FORMAT = "bitenergy-key";
const VERSION = 1;
const KDF = "pbkdf2-sha256";
const CIPHER = "aes-256-gcm";
export const ITERATIONS = 600_000;
const MAX_ITERATIONS = 10_000_000;
const MIN_ITERATIONS = 100_000;
const utf8 = new TextEncoder();

function associated(publicKey, account, iterations, salt) {
  return encode([FORMAT, VERSION, "account", publicKey, account, KDF, iterations, salt, CIPHER]);
}

async function derive(password, iterations, salt) {
  const base = await crypto.subtle.importKey("raw", utf8.encode(password), "PBKDF2", false, ["deriveKey"]);
  return crypto.subtle.deriveKey(
    { name: "PBKDF2", hash: "SHA-256", salt, iterations }, base,
    { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"],
  );
}

/** Return the key file (an object for JSON) of a seed under a password. */
export async function sealKey(seed, account, password, iterations = ITERATIONS) {
  const { publicKey } = await keyOf(seed);
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const nonce = crypto.getRandomValues(new Uint8Array(12));
  const key = await derive(password, iterations, salt);
  const sealed = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv: nonce, additionalData: associated(publicKey, account, iterations, salt) }, key, seed,
  );
  return {
    format: FORMAT, version: VERSION, purpose: "account",
    public_key: toHex(publicKey), account: toHex(account),
    protection: {
      kind: "password", kdf: KDF, iterations, salt: toHex(salt), cipher: CIPHER,
      nonce: toHex(nonce), ciphertext: toHex(new Uint8Array(sealed)),
    },
  };
}

/** Return the seed of a key file; throws an Error with a `code` for people. */
export async function openKey(file, password) {
  if (file?.format !== FORMAT || file.version !== VERSION || file.purpose !== "account") throw refusal("malformed");
  const protection = file.protection ?? {};
  if (protection.kind === "unencrypted") return checked(file, fromHex(protection.seed));
  if (protection.kdf !== KDF || protection.cipher !== CIPHER) throw refusal("derivation");
  const { iterations } = protection;
  if (!Number.isInteger(iterations) || iterations < MIN_ITERATIONS || iterations > MAX_ITERATIONS) throw refusal("cost");
  const [publicKey, account, salt] = [file.public_key, file.account, protection.salt].map(fromHex);
  const key = await derive(password, iterations, salt);
  let seed;
  try {
    seed = new Uint8Array(await crypto.subtle.decrypt(
      { name: "AES-GCM", iv: fromHex(protection.nonce), additionalData: associated(publicKey, account, iterations, salt) },
      key, fromHex(protection.ciphertext),
    ));
  } catch {
    throw refusal("password");
  }
  return checked(file, seed);
}

async function checked(file, seed) {
  const { publicKey } = await keyOf(seed);
  if (toHex(publicKey) !== file.public_key) throw refusal("malformed");
  return seed;
}

function refusal(code) {
  const error = new Error(code);
  error.code = `key_${code}`;
  return error;
}
