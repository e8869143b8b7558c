"""Make or upgrade the tables of the database: `python -m pool.migrate`."""

from alembic import command
from alembic.config import Config

from gantcha.errors import one_line_errors
from gantcha.home import ROOT
from gantcha.terminal import run


def main() -> None:
    """Make or upgrade the tables of CAPTCHA_DATABASE_URL, as `alembic upgrade head` does in a checkout.

    \b
    Example:
        python -m pool.migrate
    """
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations").replace("%", "%%"))
    with one_line_errors():
        command.upgrade(config, "head")


if __name__ == "__main__":
    run(main)
