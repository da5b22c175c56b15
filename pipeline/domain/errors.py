"""Every error of the service, one tree.

    CallscribeError
    ├── Refused                  what was sent can never be served: never retried, the portal hears why
    │   ├── BadRequest           a field of the request
    │   ├── ForbiddenURL         a URL that we do not follow
    │   ├── RecordingGone        the link leads to nothing
    │   ├── TooLarge             more bytes than allowed
    │   ├── TooLong              more seconds than allowed
    │   ├── NotAudio             the bytes are no recording
    │   ├── NoSpeech             a recording in which nobody speaks
    │   ├── Poison               the media step crashed its process, or was killed, twice
    │   ├── SpendCapReached      the portal's paid seconds of the day are used up
    │   └── Expired              the portal's ttl ran out
    ├── Upstream                 somebody else's server failed us
    │   ├── DownloadFailed       the host of the recording                (transient)
    │   ├── ProviderRefused      a permanent answer of the provider
    │   │   └── ContentRefused   by its content rules                     (next fallback, not the same again)
    │   ├── ProviderAccount      the account: key, balance, scope         (next fallback, else held)
    │   ├── ProviderUnavailable  busy, down, late                         (transient)
    │   ├── BadAnswer            an answer that cannot be read            (once more)
    │   │   ├── UnusableAnswer   one that will be so every time           (next fallback, not the same again)
    │   │   └── NotRest          a portal's address that is no REST
    │   ├── PortalUnavailable    the portal, or its callback              (transient)
    │   │   └── NoTurn           nothing was asked: its limit is used up  (transient)
    │   └── PortalRefused        a permanent answer of the portal
    ├── Unreachable              no answer came; callers make one of the above of it
    ├── StoreUnavailable         the store refuses or is late             (transient)
    │   ├── StoreAway            a command that finds no store
    │   ├── StorageFails         the audio storage                        (transient)
    │   └── BlobMissing          audio that should be there               (fetched and cut again)
    ├── AudioLost                it is gone, and no link leads to it
    ├── ArchiveUnavailable       the archive of calls does not serve      (transient)
    ├── NotArchived              a record ended before its call was archived
    ├── QueueFull                this portal's own limit of unfinished jobs (transient)
    ├── DecoderDied              the process that reads recordings ended over one (Poison, if again)
    ├── DecoderUnavailable       it cannot be started                     (transient)
    ├── LeaseLost                another worker owns the step now
    ├── Conflict                 the same Idempotency-Key with another body
    ├── UnknownJob               no such job
    ├── UnreadableRecord         a record that this version cannot read
    ├── UnknownPortal            a job's portal is not in the settings    (transient)
    ├── UnfitURL                 our address, as a portal would see it
    ├── SettingsError            a setting is missing or wrong            (exit 2)
    │   └── NoRecogniser         none is installed on this machine
    ├── NoModel                  a model of our own recogniser cannot be had
    ├── CannotStart              a command that cannot begin              (exit 3)
    │   ├── CannotListen         the address or port of `--host` and `--port` is taken, or not ours
    │   ├── NoStorage            the audio storage does not serve
    │   ├── NoStore              no store was ever kept in this DATA_DIR
    │   ├── InUse                another callscribe runs on this DATA_DIR
    │   ├── NotInstalled         the extra `whisper` is not there
    │   └── NoModelToServe       nor is its model
    └── WorkFailed               a command whose work failed              (exit 1)

Each class has a `slug` (the same in replies, metrics and logs), says whether it is `transient`
(worth another try by the record's due time), which `code` the portal's error callback carries
(100 or >= 500 is a provider's error to the portal, anything else is not), and what the operator
can do about it (`hint`). A class that one module alone raises stands there. `str(error)` never holds
a URL's query, a key or a transcript.
"""

from __future__ import annotations

from typing import ClassVar


class CallscribeError(Exception):
    """Root of the tree. `message` is a sentence for people, free of secrets."""

    slug: ClassVar[str] = "internal"
    transient: ClassVar[bool] = False
    code: ClassVar[int] = 500
    hint: str = "The log of the api or the worker has the traceback: look for the job's id there."

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n")[0])
        self.field = field

    @property
    def message(self) -> str:
        return str(self.args[0])


class Refused(CallscribeError):
    """The request can never be served."""

    slug = "refused"
    code = 400
    hint = "Nothing to do here: the request itself has to change."


class BadRequest(Refused):
    """A field of the request is missing or wrong."""

    slug = "bad_request"


class ForbiddenURL(Refused):
    """The URL points to where we do not go."""

    slug = "forbidden_url"
    code = 403
    hint = "If that host is yours, name it in CALLSCRIBE_TRUSTED_HOSTS."


class RecordingGone(Refused):
    """The link to the recording leads to nothing.

    early: it may only not be there yet, as in the first minutes after a call.
    """

    slug = "recording_gone"
    code = 404
    early = False
    hint = "Check on the portal that the recording still exists and that its link has not expired."


class TooLarge(Refused):
    """The recording has more bytes than allowed."""

    slug = "too_large"
    code = 413
    hint = "Raise CALLSCRIBE_MAX_DOWNLOAD_BYTES if such recordings are wanted."


class TooLong(Refused):
    """The recording is longer than allowed."""

    slug = "too_long"
    code = 413
    hint = "Raise CALLSCRIBE_MAX_AUDIO_SECONDS if such recordings are wanted."


class NotAudio(Refused):
    """What was downloaded is not a recording."""

    slug = "not_audio"
    code = 415
    hint = "Open the recording on the portal; often its link answers a login or error page."


class NoSpeech(Refused):
    """Nobody speaks in the recording."""

    slug = "no_speech"
    code = 422
    hint = "Nothing to do: the recording is silent, or holds no words."


class Poison(Refused):
    """The recording crashed the media worker more than once."""

    slug = "poison"
    code = 422
    hint = "Keep the recording for a bug report; it is refused, other jobs are not affected."


class SpendCapReached(Refused):
    """The portal has used up its paid seconds of today."""

    slug = "spend_cap"
    code = 429
    hint = "Raise CALLSCRIBE_DAILY_PAID_SECONDS, or find out who uses the engine URL."


class Expired(Refused):
    """The portal's time for this job ran out."""

    slug = "expired"
    code = 504
    hint = "See the job's events for what took so long; `callscribe jobs retry ID` runs it again."


class Upstream(CallscribeError):
    """Somebody else's server failed us.

    retry_after_seconds: what the server asked for, or None.
    ambiguous: the request may have been served (and paid) although no answer came.
    http_status: of the answer, or None when there was none.
    """

    slug = "upstream"
    code = 502

    def __init__(
        self,
        message: str = "",
        *,
        retry_after_seconds: float | None = None,
        ambiguous: bool = False,
        http_status: int | None = None,
        provider_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.ambiguous = ambiguous
        self.http_status = http_status
        self.provider_code = provider_code


class DownloadFailed(Upstream):
    """The recording's host did not deliver it."""

    slug = "download_failed"
    transient = True
    hint = "Check that this machine reaches the portal's file host."


class ProviderRefused(Upstream):
    """The provider refuses this request for good."""

    slug = "provider_refused"
    hint = (
        "The provider's own words say what it refuses: most often a model's name "
        "(CALLSCRIBE_TRANSCRIPTION_MODEL, CALLSCRIBE_CHAT_MODEL)."
    )


class ContentRefused(ProviderRefused):
    """The provider's content rules refuse what is asked for."""

    slug = "content_refused"
    code = 422
    hint = "Nothing to do here: what was asked for has to change, or another model be named as a fallback."


class ProviderAccount(Upstream):
    """The provider refuses the account: key, balance or scope."""

    slug = "provider_account"
    transient = True
    code = 503
    hint = (
        "Mend its balance or scope, or the key (CALLSCRIBE_ROUTER_KEY or that of the work; then start the "
        "service again). Held calls go on within a minute; `callscribe jobs retry ID` runs one that failed."
    )


class ProviderUnavailable(Upstream):
    """The provider is busy, down or late."""

    slug = "provider_unavailable"
    transient = True
    hint = "Nothing to do if it passes; else name fallback models or another provider."


class BadAnswer(Upstream):
    """The provider's answer cannot be read."""

    slug = "bad_answer"
    transient = True
    hint = "Try another model: this one does not keep to the form that it was asked for."


class UnusableAnswer(BadAnswer):
    """The model answered, and nothing that can be used: asking the same again would bring the same."""

    slug = "unusable_answer"
    transient = False
    hint = "Name a fallback model, or change what is asked for: see the job's events for the reason."


class PortalUnavailable(Upstream):
    """The portal is busy, down or late."""

    slug = "portal_unavailable"
    transient = True
    hint = "Nothing to do if it passes; else check the portal."


class PortalRefused(Upstream):
    """The portal refuses this request for good."""

    slug = "portal_refused"
    hint = (
        "The portal's own words say what it refuses: most often the webhook lacks a right or one of the "
        "scopes crm, telephony, disk and ai_admin."
    )


class StoreUnavailable(CallscribeError):
    """The job store refuses or does not answer in time."""

    slug = "store_unavailable"
    transient = True
    code = 503
    hint = "Check that Redis (CALLSCRIBE_REDIS_URL) runs, and has memory (maxmemory) and disk left."


class AudioLost(CallscribeError):
    """The recording vanished from our audio storage and cannot be fetched again."""

    slug = "audio_lost"
    hint = "Check CALLSCRIBE_STORAGE_URL: every worker must see the same storage, kept for audio alone."


class QueueFull(CallscribeError):
    """This portal has as many unfinished jobs as it may."""

    slug = "queue_full"
    transient = True
    code = 503
    hint = "Wait, add workers, or raise CALLSCRIBE_QUEUE_LIMIT."


class DecoderDied(CallscribeError):
    """The process that read a recording ended over it, or what it said cannot be so."""

    slug = "decoder_died"


class LeaseLost(CallscribeError):
    """Another worker owns this step now; what was computed is dropped."""

    slug = "lease_lost"


class Conflict(CallscribeError):
    """The same Idempotency-Key came with another body."""

    slug = "idempotency_conflict"
    code = 409


class UnknownJob(CallscribeError):
    """There is no such job."""

    slug = "unknown_job"
    code = 404
    hint = "`callscribe jobs list` names those that are kept, CALLSCRIBE_RETENTION_SECONDS long."


class UnreadableRecord(CallscribeError):
    """This version cannot read the job's record: a newer or older one wrote it, or it is damaged."""

    slug = "unreadable_record"
    hint = "`callscribe jobs show ID` shows what is stored; run the version that wrote it, or erase the job."


class SettingsError(CallscribeError):
    """A setting is missing or wrong."""

    slug = "settings"
    hint = (
        "`callscribe config --explain` tells what each setting takes; the environment counts before .env "
        "in this folder."
    )
