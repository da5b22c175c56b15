"""Settings: read once at the entrances, from CALLSCRIBE_* variables or `.env`, and passed as arguments."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.domain.errors import ForbiddenURL, SettingsError
from pipeline.domain.hosts import read_allowed, read_url
from pipeline.domain.kinds import BACKGROUND, UPSTREAM
from pipeline.domain.languages import iso639

ROUTER_URL = "https://vibecode.bitrix24.tech/v1"
CHAT_MODEL = "bitrix/bitrixgpt-5.5"

Names = Annotated[tuple[str, ...], NoDecode]


def http_address(value: str) -> str:
    """The value without a slash at its end; raises ValueError where no path can be appended to it."""
    expected = "expected an address like https://example.com, without user name, password, `?` and `#`"
    try:
        read_url(value)
    except ForbiddenURL as error:
        raise ValueError(f"{expected}. {error.message}") from None
    if "?" in value or "#" in value:
        raise ValueError(expected)
    return value.strip(" ").rstrip("/")


def secret_address(value: SecretStr) -> SecretStr:
    """An address that is a secret, as it stands; raises ValueError as `http_address` does."""
    http_address(value.get_secret_value())
    return value


def listed_host(value: str, *, origins: bool) -> str:
    """An entry of a list of hosts as it stands; raises ValueError. origins: `https://host` is one as well."""
    expected = "expected `host` or `host:port`" + (", or an origin like https://host" if origins else "")
    try:
        read_allowed(value)
    except ForbiddenURL:
        raise ValueError(f"{expected}, not {value.rpartition('@')[2]}") from None
    if "://" in value and (not origins or read_url(value).path != "/"):
        raise ValueError(f"{expected}, not {value}")
    return value


def two_roles(value: Sequence[str]) -> tuple[str, ...]:
    """Who is on the left and on the right, or nothing where nobody knows; raises ValueError."""
    if value and sorted(value) != ["client", "manager"]:
        raise ValueError("name who is on the left and right: manager,client or client,manager")
    return tuple(value)


def language_code(value: str) -> str:
    """ISO 639-1 of a language's code or name; raises ValueError where it is not known."""
    code = iso639(value)
    if code is None:
        raise ValueError("expected a language as ISO 639-1 (en, ru, ...) or by its name")
    return code


class Settings(BaseSettings):
    """All settings of one installation; the docstring of each field is its row in docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix="CALLSCRIBE_", env_file=".env", extra="ignore", frozen=True, allow_inf_nan=False
    )

    # where things live
    redis_url: SecretStr | None = Field(None, description="`redis://`, `rediss://`; unset: embedded")
    data_dir: Path = Field(Path("var"), description="embedded Redis files, the API key, the lock")
    storage_url: str | None = Field(
        None, description="where audio lies while a job runs: `file:///...` or `s3://bucket/prefix`"
    )
    public_url: str | None = Field(None, description="how portals reach us")

    # the one portal (or PORTALS_FILE)
    portal_url: str | None = Field(None, description="the portal, https://example.bitrix24.com")
    portal_token: SecretStr | None = Field(
        None, description="the secret in its engine URLs, 22 or more of [A-Za-z0-9_-]; a comma list rotates"
    )
    portal_application_token: SecretStr | None = Field(None, description="the token its events carry")
    portal_language: Literal["en", "ru"] = Field("en", description="wording of results for people: en, ru")
    portals_file: Path | None = Field(None, description="TOML file of many portals")
    language: str | None = Field(None, description="recognition language where the request names none")
    channels: Names = Field(("manager", "client"), description="who is left and right; empty: nobody knows")
    glossary: Names = Field((), description="hint words for the recogniser, comma-separated")
    rubric: Path | None = Field(None, description="rubric file of the lead score")
    trusted_hosts: Names = Field(
        (), description="`host`, `host:port` or `https://host` that may be private or plain http"
    )

    # providers
    router_url: str = Field(ROUTER_URL, description="the OpenAI-compatible provider")
    router_key: SecretStr | None = Field(None, description="its key")
    transcription_url: str | None = Field(None, description="another provider for recognition")
    transcription_key: SecretStr | None = Field(None, description="its key")
    transcription_model: str | None = Field(None, description="unset: the field is left out")
    transcription_fallbacks: Names = Field((), description="further models, in order")
    chat_url: str | None = Field(None, description="another provider for chat")
    chat_key: SecretStr | None = Field(None, description="its key")
    chat_model: str = Field(CHAT_MODEL, description="the chat model")
    chat_fallbacks: Names = Field((), description="further models, in order")
    image_url: str | None = Field(None, description="another provider for images")
    image_key: SecretStr | None = Field(None, description="its key")
    image_model: str | None = Field(None, description="unset: images are not served")
    image_fallbacks: Names = Field((), description="further models, in order")
    whisper_model: str = Field(
        "base", description="of `callscribe whisper`: a folder, a size, or owner/name on the hub"
    )
    whisper_key: SecretStr | None = Field(None, description="what it asks of its callers; unset: nothing")
    provider_proxy: SecretStr | None = Field(None, description="egress proxy for providers")
    ca_file: Path | None = Field(None, description="private certificate authorities")

    # the CRM
    bitrix24_webhook: SecretStr | None = Field(None, description="incoming webhook URL for REST calls")
    timeline: Literal["vibecode", "bitrix24", "off"] = Field("off", description="where the score is written")
    vibecode_url: str | None = Field(None, description="timeline entries go here, default the router's")
    vibecode_key: SecretStr | None = Field(None, description="its key, default the router's")
    webhook_secret: SecretStr | None = Field(None, description="signs callbacks of /v1/calls")
    redact: bool = Field(False, description="mask phones, cards and e-mails in what goes to the timeline")
    attach_transcript: bool = Field(False, description="attach the transcript to the timeline entry")
    own_prompts: bool = Field(False, description="use own prompts for CRM's text steps (boxed portals)")

    # limits
    prices_file: Path | None = Field(None, description="TOML file of models' prices, for `callscribe usage`")
    daily_paid_seconds: float = Field(0, ge=0, description="spend cap per portal and day; 0: none")
    account_hold_seconds: float = Field(3600, ge=0, description="how long calls wait for a refused account")
    link_patience_seconds: float = Field(
        30, ge=0, description="how long a link that may not be ready yet is asked again"
    )
    chunk_seconds: float = Field(600, ge=5, description="the longest piece sent in one transcription call")
    max_audio_seconds: float = Field(14400, gt=0, description="longer recordings are refused")
    max_download_bytes: int = Field(1 << 30, gt=0, description="larger recordings are refused")
    max_request_bytes: int | None = Field(
        None, gt=0, description="larger requests are refused with 413 (1 MiB for engines, 8 MiB for `/v1`)"
    )
    queue_limit: int = Field(10_000, gt=0, description="unfinished jobs per portal")
    concurrency: int = Field(8, gt=0, description="paid calls of one portal at a time")
    provider_concurrency: int = Field(64, gt=0, description="paid calls to one provider at a time")
    retention_seconds: int = Field(604_800, gt=0, description="how long records are kept")
    backfill_seconds: float = Field(0, ge=0, description="how far back calls are looked for on connecting")
    capture_dir: Path | None = Field(
        None,
        description="masked requests and outcomes are kept here, as fixtures for `callscribe replay`",
    )

    # operating
    api_key: SecretStr | None = Field(None, description="opens /v1, /metrics and the console")
    drain_seconds: float = Field(25, ge=0, description="how long a leaving worker waits for paid calls")
    lease_seconds: float = Field(60, gt=0, description="how long a silent worker keeps a step")
    sweep_seconds: float = Field(1, gt=0, le=2, description="pause between two looks for due work")
    failpoints: str | None = Field(None, description="for tests: name=action, comma-separated")
    media_processes: int = Field(2, gt=0, description="media steps at a time, each a process")
    upstream_threads: int = Field(32, gt=1, description="waiting steps at a time, each a thread")
    background_threads: int = Field(
        8, gt=0, description="beside them: steps that no portal waits for, as finding the deal and the entry"
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`json`, `text` for people; auto: text on a terminal, else json"
    )

    @field_validator(
        "channels", "glossary", "trusted_hosts", "transcription_fallbacks", "chat_fallbacks",
        "image_fallbacks", mode="before",
    )  # fmt: skip
    @classmethod
    def _comma_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("channels")
    @classmethod
    def _two_roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return two_roles(value)

    @field_validator("trusted_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(listed_host(entry, origins=True) for entry in value)

    @field_validator("portal_url", "public_url", "router_url", "transcription_url", "chat_url", "image_url",
                     "vibecode_url")  # fmt: skip
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        return None if value is None else http_address(value)

    @field_validator("bitrix24_webhook")
    @classmethod
    def _webhook(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else secret_address(value)

    @field_validator("redis_url")
    @classmethod
    def _store_url(cls, value: SecretStr | None) -> SecretStr | None:
        expected = "expected redis://host:6379/0 (port and database are numbers), or rediss:// or unix://"
        try:
            parts = urlsplit(value.get_secret_value()) if value is not None else None
            good = parts is None or (
                (
                    parts.scheme in ("redis", "rediss")
                    and parts.port != 0  # reading it raises ValueError where it is no port
                    and (parts.path.strip("/") or "0").isdigit()
                    and "db" not in parse_qs(parts.query)  # the broker's client does not know it
                )
                or parts.scheme == "unix"
            )
        except ValueError:
            good = False
        if not good:
            raise ValueError(expected)
        return value

    @field_validator("storage_url")
    @classmethod
    def _storage(cls, value: str | None) -> str | None:
        scheme = urlsplit(value).scheme if value else "file"
        if scheme not in ("file", "s3"):
            raise ValueError("expected file:///folder or s3://bucket/prefix")
        if scheme == "s3" and find_spec("s3fs") is None:
            raise ValueError("s3:// takes the extra: pip install 'callscribe[s3]'")
        return value

    @field_validator("language")
    @classmethod
    def _speech(cls, value: str | None) -> str | None:
        return language_code(value) if value else None

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        """An empty variable is an unset one, but for CHANNELS, where it says that nobody has a role."""
        return {name: value for name, value in values.items() if value != "" or name == "channels"}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.portals_file and (self.portal_url or self.portal_token):
            raise ValueError(
                "set CALLSCRIBE_PORTALS_FILE, or CALLSCRIBE_PORTAL_URL and CALLSCRIBE_PORTAL_TOKEN, not both"
            )
        return self

    @property
    def storage(self) -> str:
        """Where audio lies, as a URL."""
        return self.storage_url or (self.data_dir.resolve() / "audio").as_uri()

    @property
    def socket(self) -> Path:
        """The embedded store's unix socket."""
        return self.data_dir.resolve() / "redis.sock"

    @property
    def engine_bytes(self) -> int:
        """The largest engine request: a text step's with all its context has 300,000."""
        return self.max_request_bytes or 1 << 20

    @property
    def api_bytes(self) -> int:
        """The largest JSON body of /v1."""
        return self.max_request_bytes or 8 << 20

    @property
    def places(self) -> dict[str, int]:
        """How many steps of each queue that waits for others' servers run at a time in a process."""
        return {UPSTREAM: self.upstream_threads, BACKGROUND: self.background_threads}

    @property
    def store_url(self) -> str:
        """What the store's client and the broker connect to."""
        return self.redis_url.get_secret_value() if self.redis_url else f"unix://{self.socket}"


def load(**overrides: Any) -> Settings:
    """Reads the settings; raises SettingsError naming each variable and what was expected."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in item["loc"][:1]).upper()
            text = item["msg"].removeprefix("Value error, ")
            lines.append(f"CALLSCRIBE_{name}: {text}" if name else text)
        raise SettingsError("; ".join(lines)) from None
    except UnicodeDecodeError:
        raise SettingsError(".env: cannot be read: it is not UTF-8") from None
    except OSError as error:
        raise SettingsError(f".env: cannot be read: {error.strerror}") from None
