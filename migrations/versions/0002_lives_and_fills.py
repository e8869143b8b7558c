"""The rest of a captcha's life, the fills, and leases."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TAKEN = sa.text("state <> 'ready'")


def upgrade() -> None:
    """Add the columns and the index of taken captchas, and the two tables."""
    file_id = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
    op.add_column("captcha", sa.Column("redeemable", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("captcha", sa.Column("pop_id", file_id))
    op.create_index("captcha_taken", "captcha", ["state", "expires_at"], postgresql_where=_TAKEN, sqlite_where=_TAKEN)
    op.create_table(
        "fill",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("added", sa.Integer, nullable=False),
        sa.Column("checkpoints", sa.String(64)),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("holder", file_id, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Forget the fills; what was answered counts as issued again."""
    op.drop_table("lease")
    op.drop_table("fill")
    op.execute("UPDATE captcha SET state = 'issued' WHERE state IN ('solved', 'failed', 'expired')")
    op.drop_index("captcha_taken", "captcha")
    with op.batch_alter_table("captcha") as table:
        table.drop_column("pop_id")
        table.drop_column("redeemable")
