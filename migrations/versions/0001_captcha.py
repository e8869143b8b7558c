"""The captcha table."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the partial index that pops read."""
    op.create_table(
        "captcha",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("code", sa.String(16)),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
    )
    is_ready = sa.text("state = 'ready'")
    op.create_index("captcha_ready", "captcha", ["created_at"], postgresql_where=is_ready, sqlite_where=is_ready)


def downgrade() -> None:
    """Drop the table; its files become strays."""
    op.drop_table("captcha")
