// Asks the node. Integers beyond 2^53 arrive as BigInt, so no amount loses its last digits.

const BASE = "/api/v1";

/** A refusal of the node, or its silence (status 0). */
export class ApiError extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.expected = error.expected;
    this.actual = error.actual;
    this.hint = error.hint;
  }
}

function exact(_key, value, context) {
  if (typeof value === "number" && !Number.isSafeInteger(value) && context) return BigInt(context.source);
  return value;
}

export const parse = (text) => JSON.parse(text, exact);

/** GET a path under /api/v1 with parameters; those that are null are left out. */
export function get(path, parameters = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return ask(`${BASE}${path}${text ? `?${text}` : ""}`, { signal: options.signal, headers: options.headers });
}

/** POST a document as JSON. */
export function post(path, document) {
  return ask(BASE + path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(document),
  });
}

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { code: "no_answer", message: "the node does not answer" });
  }
  const text = await response.text();
  let body;
  try {
    body = parse(text);
  } catch {
    throw new ApiError(response.status, { code: "no_json", message: `the node answered ${response.status}` });
  }
  if (!response.ok) throw new ApiError(response.status, body.error ?? { code: "error", message: text.slice(0, 200) });
  return body;
}

/** Everything of a list that comes in pages, at most `most` entries. */
export async function all(path, list, parameters = {}, { cursor = "after", most = 1_000 } = {}) {
  const found = [];
  let next = null;
  do {
    const page = await get(path, { limit: 200, ...parameters, [cursor]: next });
    found.push(...page[list]);
    next = page.next;
  } while (next !== null && found.length < most);
  return found;
}
