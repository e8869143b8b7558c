"""The captcha table, and the id that identifies a pool."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables and the partial index that pops read."""
    file_id = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
    identity = op.create_table("identity", sa.Column("pool_id", file_id, primary_key=True))
    op.bulk_insert(identity, [{"pool_id": secrets.token_hex(16)}])
    op.create_table(
        "captcha",
        sa.Column("id", file_id, primary_key=True),
        sa.Column("code", sa.String(16)),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
    )
    is_ready = sa.text("state = 'ready'")
    op.create_index("captcha_ready", "captcha", ["created_at"], postgresql_where=is_ready, sqlite_where=is_ready)


def downgrade() -> None:
    """Drop the tables; the files stay behind as orphans."""
    op.drop_table("captcha")
    op.drop_table("identity")
