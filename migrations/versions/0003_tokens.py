"""Tokens of solved captchas."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "token",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("hostname", sa.String(253), nullable=False),
        sa.Column("solved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("redeemed_at", sa.DateTime(timezone=True)),
        sa.Column("idempotency_key", sa.String(36)),
    )


def downgrade() -> None:
    """Forget all tokens: visitors who just solved a captcha must solve another."""
    op.drop_table("token")
