"""What all servers counted in each hour, for the page of the operator."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the table; nothing was kept before."""
    op.create_table(
        "hourly",
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(96), primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Forget what was counted."""
    op.drop_table("hourly")
