// The figures of a day market's intervals, from what the API lists and what its gates cleared.

const MILLI = 1_000n;
const MINUTES_PER_HOUR = 60n;
const CLOCK_BEGIN = 11;
export const CLOCK_END = 16;

/** The local time at which an interval begins; with its offset where the day has two. */
export function begins(row, rows) {
  const offset = row.local_start.slice(CLOCK_END);
  return row.local_start.slice(CLOCK_BEGIN, CLOCK_END) + (rows.some((other) => other.local_start.slice(CLOCK_END) !== offset) ? ` (${offset})` : "");
}

/** Each interval with its clearings in the order of gates, and their sums:
 *  {cleared, prices [half price or null by gate], traded_milli_wh, bids_milli_wh, offers_milli_wh, settled}. */
export function dayRows(market, intervals, clearings) {
  return intervals.map((row) => {
    const cleared = clearings.filter((one) => one.interval === row.interval).sort((left, right) => left.gate - right.gate);
    const [first] = cleared;
    return {
      ...row, cleared,
      prices: market.gates.map((_, gate) => priceOf(cleared.find((one) => one.gate === gate))),
      traded_milli_wh: cleared.reduce((sum, one) => sum + BigInt(one.energy_milli_wh), 0n),
      bids_milli_wh: first?.bids_milli_wh ?? null,
      offers_milli_wh: first?.offers_milli_wh ?? null,
      settled: together(row.settlements),
    };
  });
}

/** One price of a gate, in half micro-tokens: the buyers', or the mean of the buses'; null where nothing traded. */
function priceOf(clearing) {
  if (!clearing || BigInt(clearing.energy_milli_wh) === 0n) return null;
  if (clearing.buyer_price_half_micro_per_kwh !== null) return BigInt(clearing.buyer_price_half_micro_per_kwh);
  if (clearing.prices.length === 0) return null;
  return clearing.prices.reduce((sum, one) => sum + BigInt(one.price_half_micro_per_kwh), 0n) / BigInt(clearing.prices.length);
}

const SUMS = ["injected_milli_wh", "withdrawn_milli_wh", "from_upstream_milli_wh"];

/** What an interval came to with its correction, as far as that is told; null where nothing is. */
function together(settlements) {
  const told = settlements.filter((one) => one.withdrawn_milli_wh !== null);
  if (told.length === 0) return null;
  return Object.fromEntries(SUMS.map((name) => [name, told.reduce((sum, one) => sum + BigInt(one[name]), 0n)]));
}

/** A row for each part of each settlement: settled, and corrected later. The last has the local share. */
export const settledRows = (rows) => rows.flatMap((row) => row.settlements.map((part, place) => (
  { local_start: row.local_start, ...part, share: place === row.settlements.length - 1 ? localShare(row.settled) : null })));

/** The part of what was withdrawn that did not come from upstream; null where that is not told, or nothing was. */
export function localShare(sums) {
  if (sums === null || sums.withdrawn_milli_wh <= 0n) return null;
  return Math.max(0, 1 - Number(sums.from_upstream_milli_wh) / Number(sums.withdrawn_milli_wh));
}

/** How full lines are by all trades of each interval, the fullest line first, and how far prices of buses
 *  lay apart: {line, flow_milli_wh, limit_milli_wh, share, full, spread_half_micro_per_kwh}. */
export function congestion(market, rows, lines) {
  return rows.flatMap((row) => {
    const loads = lines.map((line) => {
      const limit = BigInt(line.rating_w) * BigInt(market.interval_minutes) * MILLI / MINUTES_PER_HOUR;
      const flow = row.cleared.flatMap((one) => one.flows).filter((one) => one.line === line.name).reduce((sum, one) => sum + BigInt(one.energy_milli_wh), 0n);
      const size = flow < 0n ? -flow : flow;
      return { line: line.name, flow_milli_wh: flow, limit_milli_wh: limit, share: limit === 0n ? 0 : Number(size) / Number(limit), isFull: limit > 0n && size >= limit };
    }).sort((left, right) => right.share - left.share);
    if (loads.length === 0 || loads[0].share === 0) return [];
    return [{ local_start: row.local_start, ...loads[0], full: loads.filter((one) => one.isFull).length, spread_half_micro_per_kwh: spread(row) }];
  });
}

function spread(row) {
  return row.cleared.reduce((most, one) => {
    const halves = one.prices.map((bus) => BigInt(bus.price_half_micro_per_kwh)).sort((left, right) => (left < right ? -1 : 1));
    const between = halves.length ? halves.at(-1) - halves[0] : 0n;
    return between > most ? between : most;
  }, 0n);
}
