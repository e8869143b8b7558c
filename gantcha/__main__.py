"""All commands under one name: `gantcha fill --count 100` is `python -m batch.fill --count 100`."""

import runpy
import sys

COMMANDS = {
    "serve": ("server", "serve captchas and keep the pool filled"),
    "migrate": ("gantcha.migrate", "make or upgrade the tables of the database"),
    "refill": ("server.refill", "keep the pool filled, without serving"),
    "fill": ("batch.fill", "draw captchas into the pool, or as a dataset"),
    "reference-set": ("batch.reference_set", "write a dataset to compare recognisers on"),
    "preview": ("batch.dataset.preview", "show the first captchas of a dataset"),
    "status": ("pool.status", "show the state of the pool"),
    "sweep": ("pool.sweep", "remove expired captchas and orphans"),
    "train": ("batch.train", "train the generators"),
    "sample": ("batch.sample", "draw glyphs"),
    "spread": ("batch.spread", "choose how various glyphs are"),
    "evaluate": ("batch.evaluate", "measure how close glyphs are to real ones"),
    "strength": ("batch.strength", "attack captchas"),
    "readability": ("batch.readability", "measure how well captchas can be read"),
    "frontier": ("batch.frontier", "search for looks"),
}
"""By name: the module that `python -m` runs, and what it does."""


def main() -> None:
    """Run the command that the first word names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        module, _ = COMMANDS[name]
        sys.argv = [f"gantcha {name}", *sys.argv[2:]]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    if name != "--help":
        print(f"error: {name} is no command; gantcha --help lists them", file=sys.stderr)
        raise SystemExit(2)
    print("Usage: gantcha COMMAND [OPTIONS]\n")
    for command, (_, purpose) in COMMANDS.items():
        print(f"  {command:14} {purpose}")
    print("\n`gantcha COMMAND --help` explains a command.")


if __name__ == "__main__":
    main()
