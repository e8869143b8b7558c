"""Leases by a clock that does not jump, and a column to write to when readiness is checked."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _make_lease(*columns: sa.Column[object]) -> None:
    """Recreate the table: all leases lapse, and their holders notice at the next renewal."""
    file_id = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
    op.drop_table("lease")
    op.create_table(
        "lease",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("holder", file_id, nullable=False),
        *columns,
    )


def upgrade() -> None:
    """Add the column; lease deadlines become seconds."""
    op.add_column("identity", sa.Column("checked_at", sa.DateTime(timezone=True)))
    _make_lease(sa.Column("taken_at", sa.Float, nullable=False), sa.Column("deadline", sa.Float, nullable=False))


def downgrade() -> None:
    """Lease deadlines become dates again."""
    _make_lease(sa.Column("until", sa.DateTime(timezone=True), nullable=False))
    with op.batch_alter_table("identity") as table:
        table.drop_column("checked_at")
