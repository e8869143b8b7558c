"""The kind and the difficulty of each captcha; pops ask for one of each."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _index(*columns: str) -> None:
    """Recreate the partial index that pops read."""
    is_ready = sa.text("state = 'ready'")
    op.drop_index("captcha_ready", "captcha")
    op.create_index("captcha_ready", "captcha", [*columns], postgresql_where=is_ready, sqlite_where=is_ready)


def upgrade() -> None:
    """Add the columns: what was drawn before is plain and of standard difficulty."""
    op.add_column("captcha", sa.Column("kind", sa.String(16), nullable=False, server_default="plain"))
    op.add_column("captcha", sa.Column("difficulty", sa.String(8), nullable=False, server_default="standard"))
    _index("kind", "difficulty", "created_at")


def downgrade() -> None:
    """Forget ready captchas of other kinds, which an older server could not explain; their files become orphans."""
    op.execute("DELETE FROM captcha WHERE state = 'ready' AND kind <> 'plain'")
    _index("created_at")
    with op.batch_alter_table("captcha") as table:
        table.drop_column("difficulty")
        table.drop_column("kind")
