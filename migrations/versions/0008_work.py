"""Work of browsers: the keys that sign it, what was spent of it, and how each token was earned."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
_ID = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables and columns: tokens from before were earned with pictures, or with sounds that nobody noted."""
    op.create_table(
        "work_key",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "work_pass",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("spent_by", _ID, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_work_pass_expires_at", "work_pass", ["expires_at"])
    op.add_column("captcha", sa.Column("spoken", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("token", sa.Column("mode", sa.String(16)))


def downgrade() -> None:
    """Forget tokens that no picture earned: an older server could not tell their sites."""
    op.execute("DELETE FROM token WHERE mode IN ('quiet', 'alternative')")
    with op.batch_alter_table("token") as table:
        table.drop_column("mode")
    with op.batch_alter_table("captcha") as table:
        table.drop_column("spoken")
    op.drop_table("work_pass")
    op.drop_table("work_key")
