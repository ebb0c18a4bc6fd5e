// Values of contracts: JSON that a person types becomes the canonical form of a declared type, the
// same as vm/contract/abi.py makes of it.

import { fromHex } from "./codec.js";
import { accountOfAddress } from "./crypto.js";
import { t } from "./text.js";

const LEAST_SMALL = -(2n ** 63n);
const MOST_SMALL = 2n ** 63n - 1n;

/** A type in words. */
export function typeWords(type) {
  if (typeof type === "string") return type;
  if (type.record) return `${type.record}(${type.fields.map((field) => `${field.name}: ${typeWords(field.type)}`).join(", ")})`;
  if (type.list) return `list[${typeWords(type.list)}]`;
  if (type.tuple) return `tuple[${type.tuple.map(typeWords).join(", ")}]`;
  return `dict[${type.dict.map(typeWords).join(", ")}]`;
}

/** What a person typed for a parameter, as JSON: texts, addresses and numbers need no quotes. */
export function readTyped(type, text) {
  if (["str", "address", "bytes", "int"].includes(type)) return text.trim();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(t("not_json", { text }));
  }
}

/** The canonical form of `data` (JSON) in a declared type; throws an Error where it does not fit. */
export async function encodeValue(type, data) {
  const unlike = () => new Error(t("not_of_type", { type: typeWords(type), text: JSON.stringify(data) }));
  if (type === "None") return null;
  if (type === "int") {
    if (!/^-?\d{1,78}$/.test(String(data))) throw unlike();
    return integer(BigInt(data));
  }
  if (type === "bool") {
    if (typeof data !== "boolean") throw unlike();
    return data;
  }
  if (type === "str") return String(data);
  if (type === "bytes") return fromHex(data);
  if (type === "address") return accountOfAddress(data);
  if (!Array.isArray(data) && !type.record) throw unlike();
  if (type.record) return Promise.all(type.fields.map((field) => encodeValue(field.type, data[field.name])));
  if (type.list) return Promise.all(data.map((item) => encodeValue(type.list, item)));
  if (type.tuple) {
    if (data.length !== type.tuple.length) throw unlike();
    return Promise.all(type.tuple.map((member, at) => encodeValue(member, data[at])));
  }
  return Promise.all(data.map(([key, item]) => Promise.all([encodeValue(type.dict[0], key), encodeValue(type.dict[1], item)])));
}

function integer(value) {
  if (value >= LEAST_SMALL && value <= MOST_SMALL) return value;
  let bytes = 1;
  while (BigInt.asIntN(8 * bytes, value) !== value) bytes += 1;
  const whole = BigInt.asUintN(8 * bytes, value).toString(16).padStart(2 * bytes, "0");
  return fromHex(whole);
}
