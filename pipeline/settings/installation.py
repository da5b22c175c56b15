"""Settings: read once at the entrances, from CALLSCRIBE_* variables or `.env`, and passed as arguments."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.domain.errors import SettingsError
from pipeline.domain.kinds import BACKGROUND, UPSTREAM
from pipeline.settings.options import (
    Address,
    Language,
    Names,
    Networks,
    Origins,
    PortalOptions,
    SecretAddress,
)
from pipeline.settings.store_url import read_sentinels, secured


class Settings(PortalOptions, BaseSettings):
    """All settings of one installation; the description of each field is its row in docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix="CALLSCRIBE_", env_file=".env", extra="ignore", frozen=True, allow_inf_nan=False
    )

    # where things live
    redis_url: SecretStr | None = Field(
        None, description="`redis://`, `rediss://`, `redis+sentinel://host,host/service/0`; unset: embedded"
    )
    data_dir: Path = Field(Path("var"), description="embedded Redis files, the API key, the lock")
    storage_url: str | None = Field(
        None, description="where audio lies while a job runs: `file:///...` or `s3://bucket/prefix`"
    )
    public_url: Address | None = Field(None, description="how portals reach us")

    # portals
    portal_language: Language | None = Field(None, description="the older name of LANGUAGE")
    portals_file: Path | None = Field(None, description="TOML file of many portals")
    trusted_hosts: Origins = Field(
        (), description="`host`, `host:port` or `https://host` that may be private or plain http"
    )

    # providers
    whisper_model: str = Field(
        "base", description="of `callscribe whisper`: a folder, a size, or owner/name on the hub"
    )
    whisper_key: SecretStr | None = Field(None, description="what it asks of its callers; unset: nothing")
    provider_proxy: SecretStr | None = Field(None, description="egress proxy for providers")
    ca_file: Path | None = Field(
        None, description="private certificate authorities (PEM), also for `rediss://`"
    )

    # the CRM
    webhook_secret: SecretStr | None = Field(
        None, description="signs callbacks of /v1/calls, and what goes to ALERT_WEBHOOK"
    )

    # limits
    prices_file: Path | None = Field(None, description="TOML file of models' prices, for `callscribe usage`")
    account_hold_seconds: float = Field(
        3600, ge=0, le=604_800, description="how long calls wait for a refused account"
    )
    link_patience_seconds: float = Field(
        30, ge=0, le=3600, description="how long a link that may not be ready yet is asked again"
    )
    chunk_seconds: float = Field(
        600, ge=5, le=14_400, description="the longest piece sent in one transcription call"
    )
    uploads_per_minute: float = Field(
        4,
        gt=0,
        le=600,
        description="transcription calls per minute of a recording, at the most (but one a channel)",
    )
    max_audio_seconds: float = Field(14400, gt=0, le=86_400, description="longer recordings are refused")
    max_download_bytes: int = Field(1 << 30, gt=0, le=1 << 36, description="larger recordings are refused")
    max_request_bytes: int | None = Field(
        None,
        gt=0,
        le=64 << 20,
        description="larger requests are refused with 413 (1 MiB for engines, 8 MiB for `/v1`)",
    )
    provider_concurrency: int = Field(64, gt=0, le=10_000, description="paid calls to one provider at a time")
    retention_seconds: int = Field(604_800, gt=0, le=315_360_000, description="how long records are kept")
    backfill_seconds: float = Field(
        0, ge=0, le=31_536_000, description="how far back calls are looked for on connecting"
    )
    capture_dir: Path | None = Field(
        None,
        description="masked requests and outcomes are kept here, as fixtures for `callscribe replay`",
    )

    # the archive of calls
    database_url: SecretStr | None = Field(
        None,
        description="the archive: `postgresql://...` or `sqlite:///file`; unset: a file in DATA_DIR",
    )
    archive_days: float = Field(365, ge=0, le=36_500, description="how long calls are archived; 0: none is")
    keep_audio_days: float = Field(
        7,
        ge=0,
        le=36_500,
        description="how long a copy of a call's recording can be listened to; 0: none is made",
    )
    phones_for: Literal["read", "review", "operate", "nobody"] = Field(
        "review", description="the least role that sees phones whole: read, review, operate; others masked"
    )

    # operating
    alert_webhook: SecretAddress | None = Field(
        None,
        description="is told, by POST, of held accounts, near deadlines, missing workers, a store gone back",
    )
    api_key: SecretStr | None = Field(None, description="opens /v1, /metrics and all of the console")
    review_key: SecretStr | None = Field(
        None, description="opens the console for people who also correct scores"
    )
    read_key: SecretStr | None = Field(None, description="opens the console for people who read and listen")
    trusted_proxies: Networks = Field(
        (), description="addresses or networks of proxies whose `X-Forwarded-For` and `-Proto` count"
    )
    user_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="the header in which a proxy of TRUSTED_PROXIES names who is signed in, as "
        "X-Forwarded-User; unset: people sign in with a key",
    )
    user_role: Literal["read", "review"] = Field("read", description="what such a user may do")
    reviewers: Names = Field((), description="such users who also correct scores")
    operators: Names = Field((), description="such users who may do everything")
    drain_seconds: float = Field(
        25, ge=0, le=3600, description="how long a leaving worker waits for paid calls"
    )
    lease_seconds: float = Field(60, gt=0, le=3600, description="how long a silent worker keeps a step")
    sweep_seconds: float = Field(1, gt=0, le=2, description="pause between two looks for due work")
    failpoints: str | None = Field(None, description="for tests: name=action, comma-separated")
    media_processes: int = Field(2, gt=0, le=256, description="media steps at a time, each a process")
    upstream_threads: int = Field(32, gt=1, le=1024, description="waiting steps at a time, each a thread")
    background_threads: int = Field(
        8,
        gt=0,
        le=256,
        description="beside them: steps that no portal waits for, as finding the deal and the entry",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`json`, `text` for people; auto: text on a terminal, else json"
    )

    @field_validator("redis_url")
    @classmethod
    def _store_url(cls, value: SecretStr | None) -> SecretStr | None:
        expected = (
            "expected redis://host:6379/0 (port and database are numbers), rediss://, unix:// or "
            "redis+sentinel://host:26379,host:26379/service/0"
        )
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
                or read_sentinels(value.get_secret_value() if value else "") is not None
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

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        scheme = urlsplit(value.get_secret_value()).scheme if value else "sqlite"
        if scheme not in ("sqlite", "postgresql", "postgres", "postgresql+psycopg"):
            raise ValueError("expected postgresql://user:password@host/name or sqlite:///file")
        if scheme != "sqlite" and find_spec("psycopg") is None:
            raise ValueError("postgresql:// takes the extra: pip install 'callscribe[postgresql]'")
        return value

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = dict(values)
        if (older := given.get("portal_language")) and not given.get("language"):
            given["language"] = older
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.portals_file and (self.portal_url or self.portal_token or self.portal_hosts):
            raise ValueError(
                "set CALLSCRIBE_PORTALS_FILE, or CALLSCRIBE_PORTAL_URL, _HOSTS and _TOKEN, not both"
            )
        keys = [key.get_secret_value() for key in (self.api_key, self.review_key, self.read_key) if key]
        if len(set(keys)) < len(keys):
            raise ValueError("CALLSCRIBE_API_KEY, _REVIEW_KEY and _READ_KEY have to differ: each is a role")
        if self.user_header and not self.trusted_proxies:
            raise ValueError("CALLSCRIBE_USER_HEADER takes CALLSCRIBE_TRUSTED_PROXIES: whom else to believe?")
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
    def archive_url(self) -> str:
        """The database of the archive, as a URL."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'archive.sqlite'}"

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
        if self.redis_url is None:
            return f"unix://{quote(str(self.socket))}"
        return secured(self.redis_url.get_secret_value(), self.ca_file)


def load(**overrides: Any) -> Settings:
    """Reads the settings; raises SettingsError naming each variable and what was expected."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_input=False, include_url=False):
            name = "".join(str(part) for part in item["loc"][:1]).upper()
            text = item["msg"].removeprefix("Value error, ")
            lines.append(f"CALLSCRIBE_{name}: {text}" if name else text)
        raise SettingsError("; ".join(dict.fromkeys(lines))) from None  # once, however many parts are wrong
    except UnicodeDecodeError:
        raise SettingsError(".env: cannot be read: it is not UTF-8") from None
    except OSError as error:
        raise SettingsError(f".env: cannot be read: {error.strerror}") from None
