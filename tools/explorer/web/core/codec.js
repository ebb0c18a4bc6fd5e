// Canonical MessagePack (docs/protocol.md, Encoding): one value has one encoding. Integers may be
// numbers or BigInt; bytes are Uint8Array; arrays are arrays; maps are Map.

const MAX_DEPTH = 16;
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Return the canonical bytes of a value; throws TypeError or RangeError for what has none. */
export function encode(value) {
  const parts = [];
  write(value, parts, MAX_DEPTH);
  return concat(parts);
}

/** Join byte arrays. */
export function concat(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function write(value, parts, depth) {
  if (value === null) parts.push(Uint8Array.of(0xc0));
  else if (typeof value === "boolean") parts.push(Uint8Array.of(value ? 0xc3 : 0xc2));
  else if (typeof value === "number" || typeof value === "bigint") parts.push(number(value));
  else if (typeof value === "string") {
    if (!value.isWellFormed()) throw new TypeError("the text is not well formed");
    const bytes = utf8.encode(value);
    parts.push(head(bytes.length, 0xa0, 32, [0xd9, 0xda, 0xdb]), bytes);
  } else if (value instanceof Uint8Array) parts.push(head(value.length, 0, 0, [0xc4, 0xc5, 0xc6]), value);
  else if (Array.isArray(value)) {
    if (depth === 0) throw new RangeError("the value nests too deeply");
    parts.push(head(value.length, 0x90, 16, [null, 0xdc, 0xdd]));
    for (const item of value) write(item, parts, depth - 1);
  } else if (value instanceof Map) {
    if (depth === 0) throw new RangeError("the value nests too deeply");
    parts.push(head(value.size, 0x80, 16, [null, 0xde, 0xdf]));
    if (![...value.keys()].every(isKey)) throw new TypeError("this is no key of a map");
    const pairs = [...value].map(([key, item]) => [encode(key), encode(item)]);
    pairs.sort(([left], [right]) => compare(left, right));
    for (const [key, item] of pairs) parts.push(key, item);
  } else throw new TypeError("such a value has no encoding");
}

/** Order byte arrays. */
export function compare(left, right) {
  const size = Math.min(left.length, right.length);
  for (let at = 0; at < size; at += 1) {
    if (left[at] !== right[at]) return left[at] - right[at];
  }
  return left.length - right.length;
}

function number(value) {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new RangeError("not an exact integer");
  const big = BigInt(value);
  if (big >= -32n && big <= 127n) return Uint8Array.of(Number(big) & 0xff);
  for (const [width, first] of big < 0n ? SIGNED : UNSIGNED) {
    const bits = BigInt(8 * width);
    const low = big < 0n ? -(1n << (bits - 1n)) : 0n;
    const high = big < 0n ? 0n : 1n << bits;
    if (big >= low && big < high) return Uint8Array.of(first, ...bytesOf(big & ((1n << bits) - 1n), width));
  }
  throw new RangeError("a number has more than 64 bits");
}

const UNSIGNED = [[1, 0xcc], [2, 0xcd], [4, 0xce], [8, 0xcf]];
const SIGNED = [[1, 0xd0], [2, 0xd1], [4, 0xd2], [8, 0xd3]];

function bytesOf(big, width) {
  const bytes = new Uint8Array(width);
  for (let at = width - 1; at >= 0; at -= 1) {
    bytes[at] = Number(big & 0xffn);
    big >>= 8n;
  }
  return bytes;
}

function head(size, fixed, below, firsts) {
  if (size < below) return Uint8Array.of(fixed + size);
  const widths = [[1, 0x100], [2, 0x10000], [4, 0x100000000]];
  for (const [place, [width, limit]] of widths.entries()) {
    if (firsts[place] !== null && size < limit) {
      return Uint8Array.of(firsts[place], ...bytesOf(BigInt(size), width));
    }
  }
  throw new RangeError("too long");
}

/** Return the value of canonical bytes; throws an Error for whatever would not encode to them. */
export function decode(bytes) {
  const reader = { bytes, at: 0 };
  const value = read(reader, MAX_DEPTH);
  if (reader.at !== bytes.length) throw new Error("bytes follow the value");
  if (compare(encode(value), bytes) !== 0) throw new Error("the encoding is not canonical");
  return value;
}

function take(reader, size) {
  if (size > reader.bytes.length - reader.at) throw new Error("the bytes end in the middle of a value");
  reader.at += size;
  return reader.bytes.subarray(reader.at - size, reader.at);
}

function bigEndian(bytes) {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

const exact = (big) => (big >= BigInt(Number.MIN_SAFE_INTEGER) && big <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(big) : big);

function read(reader, depth) {
  const first = take(reader, 1)[0];
  if (first <= 0x7f) return first;
  if (first >= 0xe0) return first - 256;
  if (first === 0xc0) return null;
  if (first === 0xc2 || first === 0xc3) return first === 0xc3;
  if (first >= 0xcc && first <= 0xcf) return exact(bigEndian(take(reader, 1 << (first - 0xcc))));
  if (first >= 0xd0 && first <= 0xd3) {
    const width = 1 << (first - 0xd0);
    return exact(BigInt.asIntN(8 * width, bigEndian(take(reader, width))));
  }
  if (first >= 0xc4 && first <= 0xc6) return take(reader, size(reader, first - 0xc4)).slice();
  if (first >= 0xd9 && first <= 0xdb) return strictUtf8.decode(take(reader, size(reader, first - 0xd9)));
  if (first >= 0xa0 && first <= 0xbf) return strictUtf8.decode(take(reader, first - 0xa0));
  if (first === 0xdc || first === 0xdd) return list(reader, size(reader, first - 0xdb), depth);
  if (first >= 0x90 && first <= 0x9f) return list(reader, first - 0x90, depth);
  if (first === 0xde || first === 0xdf) return map(reader, size(reader, first - 0xdd), depth);
  if (first >= 0x80 && first <= 0x8f) return map(reader, first - 0x80, depth);
  throw new Error("floats and extension types are not used");
}

const size = (reader, step) => Number(bigEndian(take(reader, 1 << step)));

function list(reader, count, depth) {
  if (depth === 0) throw new Error("the value nests too deeply");
  if (count > reader.bytes.length - reader.at) throw new Error("the bytes end in the middle of a value");
  return Array.from({ length: count }, () => read(reader, depth - 1));
}

function map(reader, count, depth) {
  const items = list(reader, 2 * count, depth);
  const found = new Map();
  let last = null;
  for (let at = 0; at < items.length; at += 2) {
    const key = items[at];
    if (!isKey(key)) throw new Error("this is no key of a map");
    const encoded = encode(key);
    if (last !== null && compare(last, encoded) >= 0) throw new Error("keys ascend, each once");
    last = encoded;
    found.set(key, items[at + 1]);
  }
  return found;
}

const isKey = (value) => ["number", "bigint", "string"].includes(typeof value) || value instanceof Uint8Array;

/** Bytes from and to hexadecimal and base64. */
export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export function fromHex(text) {
  if (!/^([0-9a-f]{2})*$/i.test(text)) throw new TypeError("not hexadecimal");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
export const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
export const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
