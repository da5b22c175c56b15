"""Signatures of outgoing callbacks by the Standard Webhooks scheme (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac


def signature_headers(secret: str, *, message_id: str, at: float, body: bytes) -> dict[str, str]:
    """The three headers that let a receiver prove who sent `body`, and when.

    secret: `whsec_` and base64 by the scheme; any other text counts as the key itself.
    message_id: the same for every attempt, so that receivers can drop doubles. at: unix seconds.
    """
    moment = str(int(at))
    signed = b".".join((message_id.encode(), moment.encode(), body))
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": "v1," + base64.b64encode(digest).decode("ascii"),
    }


def _key(secret: str) -> bytes:
    """As the scheme's own libraries do: base64 with or without the prefix; what is none is taken as it is."""
    text = secret.removeprefix("whsec_")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()
