"""Sums by weeks beside those by days, so that a year is 53 stretches; all are counted anew."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make(["days", "day"])


def downgrade() -> None:
    _make(["day"])


def _make(stretch: list[str]) -> None:
    op.drop_table("tallies")
    op.drop_table("tallied")
    op.create_table("tallied", *_keys(stretch))
    op.create_table(
        "tallies",
        *_keys(stretch),
        sa.Column("portal", sa.String(255), primary_key=True),
        sa.Column("manager_id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("manager", sa.String(255)),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("scored", sa.Integer, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("own", sa.Double, nullable=False),
        sa.Column("talked", sa.Double, nullable=False),
        sa.Column("met", sa.Integer, nullable=False),
    )


def _keys(names: list[str]) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer, primary_key=True, autoincrement=False) for name in names]
