// Shows amounts, times and names in the viewer's locale. Amounts come as integers in base units,
// as numbers or, beyond 2^53, as BigInt; no amount passes through a binary fraction.

import { locale } from "./text.js";

const MICRO = 1_000_000n;
const made = new Map();

/** A formatter of Intl for the viewer's locale; each kind is made once, as making one is dear. */
function formatter(Kind, options = {}) {
  const key = `${Kind.name} ${locale()} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new Kind(locale(), options));
  return made.get(key);
}

const numbers = (options) => formatter(Intl.NumberFormat, options);

/** The digits of amount / 10^places, exactly, with at least `least` decimals. */
function decimal(amount, places, least = 0) {
  const value = BigInt(amount);
  const sign = value < 0n ? "-" : "";
  const digits = (value < 0n ? -value : value).toString().padStart(places + 1, "0");
  const whole = digits.slice(0, -places);
  const rest = digits.slice(-places).replace(/0+$/, "").padEnd(least, "0");
  const shown = numbers().format(BigInt(whole));
  return sign + shown + (rest ? decimalSign() + rest : "");
}

function decimalSign() {
  return numbers().formatToParts(1.5).find((part) => part.type === "decimal").value;
}

export const money = (micro) => decimal(micro, 6, 2);
/** An energy; of a balance that is for others to see there is none. */
export const energyOrNone = (milliWh) => (milliWh === null ? "–" : energy(milliWh));
export const energy = (milliWh) => `${decimal(milliWh, 6, 1)} kWh`;
export const price = (micro) => `${decimal(micro, 6, 2)}`;
export const integer = (value) => numbers().format(value);
export const power = (watts) => `${decimal(BigInt(watts) * 1_000n, 6, 1)} kW`;

/** The same amounts as plain text for CSV files: a point, no groups. */
export function plain(amount, places) {
  const value = BigInt(amount);
  const digits = (value < 0n ? -value : value).toString().padStart(places + 1, "0");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** A number for drawing only, where the last digits do not show. */
export const drawn = (amount) => Number(amount) / Number(MICRO);

export function time(ms) {
  return formatter(Intl.DateTimeFormat, { dateStyle: "medium", timeStyle: "medium" }).format(Number(ms));
}

/** A stretch of time in its largest whole unit: "90 minutes", "2 days". */
export function duration(ms) {
  const seconds = Number(ms) / 1000;
  const [unit, size] = [["day", 86_400], ["hour", 3_600], ["minute", 60]].find(([, step]) => seconds >= step && seconds % step === 0) ?? ["second", 1];
  return numbers({ style: "unit", unit, unitDisplay: "long" }).format(seconds / size);
}

export const percent = (share, digits = 0) => numbers({ style: "percent", maximumFractionDigits: digits }).format(share);

/** How long ago `ms` was, in the largest fitting unit. */
export function ago(ms, nowMs = Date.now()) {
  const seconds = Math.round((Number(ms) - nowMs) / 1000);
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const names = formatter(Intl.RelativeTimeFormat, { numeric: "auto" });
  for (const [unit, size] of steps) {
    if (Math.abs(seconds) >= size) return names.format(Math.round(seconds / size), unit);
  }
  return names.format(seconds, "second");
}

export const short = (text) => (text.length > 16 ? `${text.slice(0, 8)}…${text.slice(-6)}` : text);

/** Read an amount as a person of this language writes it ("1.234,5" or "1,234.5" or "1234.5").
 *  Returns base units as BigInt, or null for what is no amount with at most `places` decimals. */
export function parseAmount(text, places) {
  const parts = numbers().formatToParts(12345.6);
  const group = parts.find((part) => part.type === "group")?.value ?? ",";
  const sign = parts.find((part) => part.type === "decimal").value;
  let plainText = text.trim();
  if (sign === "," && plainText.includes(",")) {
    plainText = plainText.replaceAll(group, "").replace(",", ".");
  } else if (sign === "." && /^\d{1,3}(,\d{3})+(\.\d*)?$/.test(plainText)) {
    plainText = plainText.replaceAll(",", "");
  }
  const match = /^(\d{1,13})(?:\.(\d+))?$/.exec(plainText);
  if (!match || (match[2] ?? "").length > places) return null;
  return BigInt(match[1] + (match[2] ?? "").padEnd(places, "0"));
}
