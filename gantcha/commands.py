"""All commands under one name: `gantcha fill --count 100` is `python -m batch.fill --count 100`."""

import inspect
import re
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gantcha.home import cure
from gantcha.terminal import HELP, app_of

COMMANDS = {
    "serve": ("server.__main__", "Serve captchas and keep the pool filled."),
    "migrate": ("pool.migrate", "Make or upgrade the tables of the database."),
    "refill": ("server.refill", "Keep the pool filled, without serving."),
    "fill": ("batch.fill.__main__", "Draw captchas into the pool, or as a dataset."),
    "preview": ("batch.preview", "Show the first captchas of a dataset."),
    "reference-set": ("batch.reference_set", "Write a dataset to compare recognisers on."),
    "status": ("pool.status", "Show the state of the pool."),
    "sweep": ("pool.sweep", "Remove expired captchas and orphans."),
    "train": ("batch.train", "Train the generators."),
    "sample": ("batch.sample", "Draw glyphs."),
    "evaluate": ("batch.evaluate", "Measure how close glyphs are to real ones."),
}
"""Module and purpose of each command."""
_NAMES = {module.removesuffix(".__main__"): f"gantcha {name}" for name, (module, _) in COMMANDS.items()}


def _renamed(text: str) -> str:
    """Call commands as they are called here: where a wheel is installed, `python -m batch.fill` finds nothing."""
    return re.sub(r"python -m ([\w.]*\w)", lambda found: _NAMES.get(found[1], found[0]), text)


class _Commands(TyperGroup):
    """Imports a command when it is called: its help needs no other command's packages, nor waits for them."""

    _is_listing = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as typer calls it
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as typer calls it
        if cmd_name not in COMMANDS:
            return None
        module, purpose = COMMANDS[cmd_name]
        if self._is_listing:
            return TyperCommand(cmd_name, help=purpose)
        try:
            function = import_module(module).main
        except ModuleNotFoundError as error:
            raise SystemExit(f"error: {error.name} is missing: {cure('service')}") from error
        return typer.main.get_command(app_of(function, cmd_name, _renamed(inspect.getdoc(function) or "")))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._is_listing = True
        super().format_help(ctx, formatter)


app = typer.Typer(
    cls=_Commands, add_completion=False, no_args_is_help=True, rich_markup_mode=None, context_settings=HELP
)


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Draw captchas, keep a pool of them, and serve them.

    \b
    Examples:
        gantcha migrate
        gantcha fill --target 2000
        gantcha serve
    """
