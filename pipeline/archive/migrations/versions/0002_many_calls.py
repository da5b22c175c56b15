"""What keeps lists and figures quick with a hundred thousand calls."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("speakers", sa.String(32)))
    op.create_index("calls_by_name", "calls", ["manager", "started_at"])
    op.create_index("calls_by_managers", "calls", ["manager_id", "manager"])
    op.create_table(
        "tallied",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    )
    op.create_table(
        "tallies",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
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


def downgrade() -> None:
    op.drop_table("tallies")
    op.drop_table("tallied")
    op.drop_index("calls_by_managers", "calls")
    op.drop_index("calls_by_name", "calls")
    op.drop_column("calls", "speakers")
