"""What a token is for: the site whose secret redeems it, and what its page gave for the site's back end."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns: tokens from before have no site."""
    op.add_column("token", sa.Column("site", sa.String(64)))
    op.add_column("token", sa.Column("action", sa.String(32)))
    op.add_column("token", sa.Column("cdata", sa.String(255)))


def downgrade() -> None:
    """Forget tokens of sites, which any secret could redeem in an older server."""
    op.execute("DELETE FROM token WHERE site IS NOT NULL")
    with op.batch_alter_table("token") as table:
        for name in ("cdata", "action", "site"):
            table.drop_column(name)
