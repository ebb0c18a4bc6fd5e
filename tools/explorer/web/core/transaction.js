// Transactions as the chain reads them (docs/protocol.md, Transaction): built and signed here, so
// that the key never leaves the page.

import { concat, encode } from "./codec.js";
import { sign, tagged } from "./crypto.js";

/** Return the signed bytes and the id of a transaction.
 *  fields: genesis, sender, key (bytes), nonce, gasLimit, maxFeeMicro, expiryHeight (integers),
 *  calls [[module, method, [arguments…]]…]. */
export async function signTransaction(signing, fields) {
  const unsigned = [
    1, 1, fields.genesis, fields.sender, fields.key, fields.nonce, fields.gasLimit,
    fields.maxFeeMicro, fields.expiryHeight, fields.calls,
  ];
  const digest = await tagged("tx/sign", encode(unsigned));
  const signature = await sign(signing, digest);
  const raw = encode([...unsigned, signature]);
  return { raw, id: await tagged("tx", concat([raw])) };
}
