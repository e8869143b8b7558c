"""The density of each captcha; challenges ask for dense ones."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def _index(*columns: str) -> None:
    """Recreate the partial index that pops read; those of older servers find their rows by its first two columns.

    On PostgreSQL pops go on meanwhile, so they read the index of before until this one is finished.
    """
    is_ready = sa.text("state = 'ready'")
    if op.get_context().dialect.name == "sqlite":
        op.drop_index("captcha_ready", "captcha")
        op.create_index("captcha_ready", "captcha", [*columns], sqlite_where=is_ready)
        return
    # What an interrupted one left behind is taken if it was finished, and made anew if it was not.
    left = sa.text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('captcha_ready_next') AND NOT indisvalid")
    is_torn = op.get_bind().execute(left).first()
    with op.get_context().autocommit_block():
        if is_torn:
            op.drop_index("captcha_ready_next", "captcha", postgresql_concurrently=True)
        options = {"if_not_exists": True, "postgresql_where": is_ready, "postgresql_concurrently": True}
        op.create_index("captcha_ready_next", "captcha", [*columns], **options)
    op.drop_index("captcha_ready", "captcha")
    op.execute("ALTER INDEX captcha_ready_next RENAME TO captcha_ready")


def upgrade() -> None:
    """Add the column: what was drawn before, or by older fills since, counts as of single density."""
    names = [column["name"] for column in sa.inspect(op.get_bind()).get_columns("captcha")]
    if "pixel_ratio" not in names:  # as after an interruption; to add it needs a lock that stops everybody
        op.add_column("captcha", sa.Column("pixel_ratio", sa.SmallInteger, nullable=False, server_default="1"))
    _index("kind", "difficulty", "pixel_ratio", "created_at")


def downgrade() -> None:
    """Forget ready captchas that an older server would show twice as large; their files become orphans."""
    op.execute("DELETE FROM captcha WHERE state = 'ready' AND pixel_ratio > 1")
    _index("kind", "difficulty", "created_at")
    with op.batch_alter_table("captcha") as table:
        table.drop_column("pixel_ratio")
