"""Make or upgrade the tables of the database: `gantcha migrate`, for an installed package `alembic upgrade head`."""

import typer
from alembic import command
from alembic.config import Config

from pool.errors import one_line_errors


def main() -> None:
    """Make or upgrade the tables of CAPTCHA_DATABASE_URL.

    \b
    Example:
        gantcha migrate
    """
    config = Config()
    config.set_main_option("script_location", "migrations:")
    config.set_main_option("path_separator", "os")
    with one_line_errors():
        command.upgrade(config, "head")


if __name__ == "__main__":
    typer.run(main)
