"""The tables, as the newest migration leaves them. `calls_words` is the database's own full-text index."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up integer keys alone

calls = Table(
    "calls",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),  # the job's
    Column("portal", String(255), nullable=False),
    Column("category", String(16), nullable=False),
    Column("source", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("accepted_at", Double, nullable=False),
    Column("seconds", Double),
    Column("language", String(8)),
    Column("quality", String(8)),
    Column("ordering", String(16)),
    Column("manager_id", String(64)),
    Column("manager", String(255)),
    Column("client", String(255)),
    Column("phone", String(64)),
    Column("phone_digits", String(32)),
    Column("direction", String(8)),
    Column("entity_type", String(64)),
    Column("entity_id", BigInteger),
    Column("entity_title", String(255)),
    Column("entity_url", Text),
    Column("activity_id", BigInteger),
    Column("speakers", String(32)),  # who is on each channel: "manager,client"
    Column("talk_first", Double),
    Column("talk_second", Double),
    Column("silence", Double),
    Column("score", Integer),
    Column("band", String(8)),
    Column("machine_score", Integer),
    Column("machine_band", String(8)),
    Column("reason", Text, nullable=False),
    Column("error", Text),
    Column("transcription_seconds", Double, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cost", Double),
    Column("audio", String(255)),
    Column("audio_bytes", BigInteger),
    Index("calls_by_time", "started_at", "number"),
    Index("calls_by_manager", "manager_id", "started_at"),
    Index("calls_by_band", "band", "started_at"),
    Index("calls_by_state", "state", "started_at"),
    Index("calls_by_portal", "portal", "started_at"),
    Index("calls_by_phone", "phone_digits"),
    Index("calls_by_entity", "entity_type", "entity_id"),
    Index("calls_by_audio", "audio"),
    Index("calls_by_name", "manager", "started_at"),
    Index("calls_by_managers", "manager_id", "manager"),
)

# what lists do not show, as JSON: apart, so that reading through many calls stays cheap
bodies = Table(
    "bodies",
    metadata,
    Column("call", _NUMBER, ForeignKey("calls.number", ondelete="CASCADE"), primary_key=True),
    Column("body", Text, nullable=False),
)

gaps = Table(
    "gaps",
    metadata,
    Column("call", _NUMBER, ForeignKey("calls.number", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("why", Text, nullable=False),
    Index("gaps_by_kind", "kind", "call"),
)

criteria = Table(
    "criteria",
    metadata,
    Column("call", _NUMBER, ForeignKey("calls.number", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("met", Boolean, nullable=False),  # as the machine judged
    Column("weight", Double, nullable=False),
    Column("quote", Text),
    Column("at", Double),
    Column("explanation", Text, nullable=False),
    Index("criteria_by_name", "name", "call"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("call", _NUMBER, ForeignKey("calls.number", ondelete="CASCADE"), nullable=False),
    Column("at", Double, nullable=False),
    Column("who", String(255), nullable=False),
    Column("why", Text, nullable=False),
    Column("criterion", String(255)),  # none: the score
    Column("met", Boolean),
    Column("score", Integer),
    Column("band", String(8)),
    Index("verdicts_by_call", "call", "number"),
)

audits = Table(
    "audits",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("who", String(255), nullable=False),
    Column("what", String(32), nullable=False),
    Column("call_id", String(64)),  # stays when the call is erased
    Column("detail", Text, nullable=False),
    Index("audits_by_time", "at"),
    Index("audits_by_call", "call_id"),
)

# stretches of days whose sums stand in `tallies`, and are those of their calls
tallied = Table(
    "tallied",
    metadata,
    Column("days", Integer, primary_key=True, autoincrement=False),  # how many: 1, 7 or 28
    Column("day", Integer, primary_key=True, autoincrement=False),  # the first, since 1970-01-01, UTC
)

tallies = Table(
    "tallies",
    metadata,
    Column("days", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("portal", String(255), primary_key=True),
    Column("manager_id", String(64), primary_key=True),  # empty: unknown
    Column("name", String(255), primary_key=True),  # of a criterion; empty: of the calls themselves
    Column("manager", String(255)),
    Column("calls", Integer, nullable=False),
    Column("scored", Integer, nullable=False),
    Column("score", Double, nullable=False),
    Column("own", Double, nullable=False),
    Column("talked", Double, nullable=False),
    Column("met", Integer, nullable=False),
)
