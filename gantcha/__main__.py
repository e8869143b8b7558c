"""The commands: `gantcha serve`, or `python -m gantcha serve`."""

import sys

from gantcha import __version__
from gantcha.errors import one_line_errors
from gantcha.home import cure, enter


def main() -> None:
    """Run the command that the first word names."""
    if sys.argv[1:] == ["--version"]:  # the engine alone can tell it
        print(f"gantcha {__version__}")
        return
    with one_line_errors():
        enter()
    try:
        from gantcha.commands import app  # noqa: PLC0415 - a library without the packages of its commands
    except ModuleNotFoundError as error:
        raise SystemExit(f"error: the commands need {error.name}: {cure('service')}") from error
    app(prog_name="gantcha")


if __name__ == "__main__":
    main()
