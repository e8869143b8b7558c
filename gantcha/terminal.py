"""A function as a command: how all commands take their options and show their help."""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

HELP = {"help_option_names": ["-h", "--help"]}


class _Command(TyperCommand):
    """Lists options below the headings that they name."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        lists: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            heading = getattr(parameter, "rich_help_panel", None) or f"{parameter.param_type_name}s".capitalize()
            if shown := parameter.get_help_record(ctx):
                lists.setdefault(heading, []).append(shown)
        for heading, listed in lists.items():
            with formatter.section(heading):
                formatter.write_dl(listed)


def app_of(function: Callable[..., Any], name: str | None = None, help_text: str | None = None) -> typer.Typer:
    """Return the command of a function, with the docstring as its help unless there is another."""
    # Rich would take the [a-z] of a pattern for markup, and break the lines of examples.
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=_Command, help=help_text, context_settings=HELP)(function)
    return app


def run(function: Callable[..., Any]) -> None:
    """Run a module's command with the words of the command line."""
    app_of(function)()
