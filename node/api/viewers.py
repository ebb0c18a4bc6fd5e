"""Who signed a request: its signature checked against the account's current key."""

from __future__ import annotations

import time

from node.api.answers import ApiError
from node.api.privacy import ALL_SEEING_ROLES, NOBODY, Viewer
from node.api.request_signing import WINDOW_MS, parse_authorization, request_digest
from node.facade import NodeFacade
from vm.primitives.errors import InvalidInput
from vm.primitives.signatures import verify_signature
from vm.system.accounts import ACTIVE, read_account


def identify(facade: NodeFacade, method: str, target: str, header: str) -> Viewer:
    """Return who signed a request, nobody where the header is empty; raises ApiError 401."""
    if not header:
        return NOBODY
    try:
        account, time_ms, signature = parse_authorization(header)
    except InvalidInput as error:
        raise ApiError(401, "invalid_signature", error.message, expected=error.expected) from error
    now_ms = time.time_ns() // 1_000_000
    if abs(now_ms - time_ms) > WINDOW_MS:
        raise ApiError(
            401,
            "stale_request",
            "the request was not signed just now",
            expected=f"within {WINDOW_MS} ms of {now_ms}",
            actual=time_ms,
            hint="Set the clock of your machine, and sign each request anew.",
        )
    leaf = read_account(facade.store, account)
    digest = request_digest(facade.genesis.digest, facade.name, method, target, account, time_ms)
    if leaf is None or not verify_signature(leaf.key, digest, signature):
        raise ApiError(
            401,
            "invalid_signature",
            "the signature is not this account's over this request to this node",
            expected=f"a signature for node {facade.name!r} by the account's current key",
        )
    if leaf.status != ACTIVE:
        raise ApiError(401, "not_active", "the account is suspended or removed")
    roles = facade.runtime.role_names(leaf.roles)
    return Viewer(facade.store, account, sees_all=any(role in ALL_SEEING_ROLES for role in roles))
