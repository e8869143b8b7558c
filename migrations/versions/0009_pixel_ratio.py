"""The density of each captcha; challenges ask for dense ones."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def _index(*columns: str) -> None:
    """Recreate the partial index that pops read; those of older servers find their rows by its first two columns."""
    is_ready = sa.text("state = 'ready'")
    op.drop_index("captcha_ready", "captcha")
    op.create_index("captcha_ready", "captcha", [*columns], postgresql_where=is_ready, sqlite_where=is_ready)


def upgrade() -> None:
    """Add the column: what was drawn before, or by older fills since, counts as of single density."""
    op.add_column("captcha", sa.Column("pixel_ratio", sa.SmallInteger, nullable=False, server_default="1"))
    _index("kind", "difficulty", "pixel_ratio", "created_at")


def downgrade() -> None:
    """Forget ready captchas that an older server would show twice as large; their files become orphans."""
    op.execute("DELETE FROM captcha WHERE state = 'ready' AND pixel_ratio > 1")
    _index("kind", "difficulty", "created_at")
    with op.batch_alter_table("captcha") as table:
        table.drop_column("pixel_ratio")
