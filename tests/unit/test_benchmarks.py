"""`make bench` finds all its measures; what they measure takes 40 minutes."""

from importlib import import_module

import pytest

from benchmarks.speed.figures import Figure
from tests.conftest import invoke

_MEASURES = "fill", "serve", "journey", "pool", "capacity"


def test_every_measure_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(_MEASURES):
        figure = Figure(f"of {name}", number + 0.5, "a second")
        monkeypatch.setattr(import_module(f"benchmarks.speed.{name}"), "measure", lambda figure=figure: [figure])
    finished = invoke("benchmarks.speed")
    assert finished.exit_code == 0, finished.output
    assert all(f"of {name}" in finished.stdout for name in _MEASURES)
    assert invoke("benchmarks.speed", "--only", "nothing").exit_code == 2
