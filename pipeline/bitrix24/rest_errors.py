"""The portal's error codes: which pass, which do not, and what to do about them.

https://apidocs.bitrix24.com/_includes/system-errors.html, https://apidocs.bitrix24.com/limits.html and
the pages of `ai.engine.*`. What is not listed is explained by the portal's own description.
"""

from __future__ import annotations

from typing import NamedTuple


class Meaning(NamedTuple):
    """What a code means and what to do, in sentences for the operator; `passes`: worth another try."""

    means: str
    hint: str
    passes: bool = False


WEBHOOK = "Check CALLSCRIBE_BITRIX24_WEBHOOK, or make a new incoming webhook on the portal."
SCOPES = "Edit the incoming webhook on the portal and tick crm, telephony, disk and ai_admin."
ADMIN = "Make the incoming webhook as an administrator of the portal, with access to the CRM."

MEANINGS = {
    # limits
    "QUERY_LIMIT_EXCEEDED": Meaning(
        "too many requests at once", "Nothing to do: it is asked again in a moment.", True
    ),
    "OPERATION_TIME_LIMIT": Meaning(
        "this method has used up its running time of ten minutes",
        "Nothing to do: it is asked again when the portal resets it.",
        True,
    ),
    "OVERLOAD_LIMIT": Meaning(
        "Bitrix24 has blocked this portal's REST by hand",
        "Ask Bitrix24's support to lift the block; nothing is retried until then.",
    ),
    # the portal itself
    "INTERNAL_SERVER_ERROR": Meaning("the portal has an inner error", "Nothing to do if it passes.", True),
    "ERROR_UNEXPECTED_ANSWER": Meaning("the portal has an inner error", "Nothing to do if it passes.", True),
    "PORTAL_DELETED": Meaning("the portal is closed or deleted", "Check the portal's address and state."),
    # who asks
    "NO_AUTH_FOUND": Meaning("the webhook's code is wrong or was deleted", WEBHOOK),
    "INVALID_TOKEN": Meaning("the token is wrong", WEBHOOK),
    "EXPIRED_TOKEN": Meaning(
        "an access token has expired: this is an application's address, not a webhook's", WEBHOOK
    ),
    "INSUFFICIENT_SCOPE": Meaning("the webhook lacks the scope of this method", SCOPES),
    "INVALID_CREDENTIALS": Meaning("the webhook's user lacks the rights", ADMIN),
    "USER_ACCESS_ERROR": Meaning("the webhook's user may not use it", ADMIN),
    "ACCESS_DENIED": Meaning(
        "access is denied: the user's rights, or a plan without REST",
        "Check that the portal's plan includes REST. " + ADMIN,
    ),
    "AUTHORIZATION_ERROR": Meaning("the webhook's user cannot log in", ADMIN),
    "WRONG_AUTH_TYPE": Meaning("this method is not for webhooks", "It needs an application of the portal."),
    "INVALID_REQUEST": Meaning("the portal wants https", "Write CALLSCRIBE_BITRIX24_WEBHOOK with https://."),
    # what is asked
    "ERROR_METHOD_NOT_FOUND": Meaning(
        "this portal has no such method",
        "A portal in the cloud has it once the webhook has the scope; a boxed one may have none at all.",
    ),
    "METHOD_NOT_FOUND": Meaning("this portal has no such method", "The portal has to be updated."),
    "ERROR_BATCH_METHOD_NOT_ALLOWED": Meaning("the method is not for batches", "Report this as a bug."),
    "ERROR_BATCH_LENGTH_EXCEEDED": Meaning("the batch is too long", "Report this as a bug."),
    "NOT_FOUND": Meaning("it is not there, or bound to nothing", "Nothing to do: it was deleted."),
    "OWNER_NOT_FOUND": Meaning("the CRM entity is gone", "Nothing to do: it was deleted."),
    # registering engines
    "ENGINE_REGISTER_ERROR_NAME": Meaning("the engine has no name", "Give one with --name."),
    "ENGINE_REGISTER_ERROR_CODE": Meaning("the engine has no code", "Report this as a bug."),
    "ENGINE_REGISTER_ERROR_CODE_FORMAT": Meaning(
        "the code may hold only letters, digits, - and _", "Report this as a bug."
    ),
    "ENGINE_REGISTER_ERROR_CODE_UNIQUE": Meaning(
        "an engine of this code exists already", "Run `callscribe engines unregister CODE` first."
    ),
    "ENGINE_REGISTER_ERROR_CATEGORY": Meaning("the category is missing", "Name one with --category."),
    "ENGINE_REGISTER_ERROR_CATEGORY_FORMAT": Meaning(
        "this portal has no such category", "Leave it out: older portals know text, image and audio only."
    ),
    "ENGINE_REGISTER_ERROR_COMPLETIONS_URL": Meaning("our own URL is missing", "Set CALLSCRIBE_PUBLIC_URL."),
    "ENGINE_REGISTER_ERROR_COMPLETIONS_URL_FAIL": Meaning(
        "the portal asked our URL and did not get a 200",
        "The address must be public and its certificate valid: try it from outside with `curl -i`.",
    ),
    "ENGINE_REGISTER_ERROR_SETTINGS_FORMAT": Meaning("the settings are no object", "Report this as a bug."),
}


def explain(code: str) -> Meaning | None:
    """What a code means; codes come in either case."""
    return MEANINGS.get(code.upper())
