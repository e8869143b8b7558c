"""The language that the sound of a captcha was fetched in: one only."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column; what was spoken before may be fetched once more."""
    op.add_column("captcha", sa.Column("spoken_in", sa.String(16)))


def downgrade() -> None:
    """Forget the languages."""
    with op.batch_alter_table("captcha") as table:
        table.drop_column("spoken_in")
