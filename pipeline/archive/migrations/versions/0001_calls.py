"""Calls, what they lack, criteria, verdicts, audits, and the full-text index."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("portal", sa.String(255), nullable=False),
        sa.Column("category", sa.String(16), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("accepted_at", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double),
        sa.Column("language", sa.String(8)),
        sa.Column("quality", sa.String(8)),
        sa.Column("ordering", sa.String(16)),
        sa.Column("manager_id", sa.String(64)),
        sa.Column("manager", sa.String(255)),
        sa.Column("client", sa.String(255)),
        sa.Column("phone", sa.String(64)),
        sa.Column("phone_digits", sa.String(32)),
        sa.Column("direction", sa.String(8)),
        sa.Column("entity_type", sa.String(64)),
        sa.Column("entity_id", sa.BigInteger),
        sa.Column("entity_title", sa.String(255)),
        sa.Column("entity_url", sa.Text),
        sa.Column("activity_id", sa.BigInteger),
        sa.Column("talk_first", sa.Double),
        sa.Column("talk_second", sa.Double),
        sa.Column("silence", sa.Double),
        sa.Column("score", sa.Integer),
        sa.Column("band", sa.String(8)),
        sa.Column("machine_score", sa.Integer),
        sa.Column("machine_band", sa.String(8)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("transcription_seconds", sa.Double, nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("completion_tokens", sa.Integer, nullable=False),
        sa.Column("cost", sa.Double),
        sa.Column("audio", sa.String(255)),
        sa.Column("audio_bytes", sa.BigInteger),
    )
    op.create_index("calls_by_time", "calls", ["started_at", "number"])
    op.create_index("calls_by_manager", "calls", ["manager_id", "started_at"])
    op.create_index("calls_by_band", "calls", ["band", "started_at"])
    op.create_index("calls_by_state", "calls", ["state", "started_at"])
    op.create_index("calls_by_portal", "calls", ["portal", "started_at"])
    op.create_index("calls_by_phone", "calls", ["phone_digits"])
    op.create_index("calls_by_entity", "calls", ["entity_type", "entity_id"])
    op.create_index("calls_by_audio", "calls", ["audio"])
    op.create_table(
        "bodies",
        sa.Column("call", NUMBER, sa.ForeignKey("calls.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "gaps",
        sa.Column("call", NUMBER, sa.ForeignKey("calls.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_index("gaps_by_kind", "gaps", ["kind", "call"])
    op.create_table(
        "criteria",
        sa.Column("call", NUMBER, sa.ForeignKey("calls.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("met", sa.Boolean, nullable=False),
        sa.Column("weight", sa.Double, nullable=False),
        sa.Column("quote", sa.Text),
        sa.Column("at", sa.Double),
        sa.Column("explanation", sa.Text, nullable=False),
    )
    op.create_index("criteria_by_name", "criteria", ["name", "call"])
    op.create_table(
        "verdicts",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("call", NUMBER, sa.ForeignKey("calls.number", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("criterion", sa.String(255)),
        sa.Column("met", sa.Boolean),
        sa.Column("score", sa.Integer),
        sa.Column("band", sa.String(8)),
    )
    op.create_index("verdicts_by_call", "verdicts", ["call", "number"])
    op.create_table(
        "audits",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("call_id", sa.String(64)),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("audits_by_time", "audits", ["at"])
    op.create_index("audits_by_call", "audits", ["call_id"])
    if op.get_bind().dialect.name == "sqlite":
        # stemmed before it is handed in: SQLite's own stemmer knows English alone
        op.execute("CREATE VIRTUAL TABLE calls_words USING fts5(words, tokenize = 'unicode61')")
    else:
        op.execute(
            "CREATE TABLE calls_words (number bigint PRIMARY KEY REFERENCES calls (number) ON DELETE CASCADE,"
            " words tsvector NOT NULL)"
        )
        op.execute("CREATE INDEX calls_words_index ON calls_words USING gin (words)")


def downgrade() -> None:
    for table in ("calls_words", "audits", "verdicts", "criteria", "gaps", "bodies", "calls"):
        op.drop_table(table)
