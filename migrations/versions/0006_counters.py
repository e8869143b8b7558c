"""Counters that all processes of a pool share: answers and requests per subject and window of time."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    subject = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
    op.create_table(
        "counter",
        sa.Column("subject", subject, primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_counter_expires_at", "counter", ["expires_at"])


def downgrade() -> None:
    """Forget all counts."""
    op.drop_table("counter")
