"""Two servers and two fills, on four machines."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT, Server, environment
from tests.process.test_several_machines import bucket, machine  # noqa: F401 - fixtures


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_two_servers_and_two_fills_share_a_pool(
    machine: Callable[[str], dict[str, object]],  # noqa: F811
    serve: Callable[..., Server],
    tmp_path: Path,
) -> None:
    """300 pops, none twice, and each picture served by the server that did not hand it out."""
    command = [sys.executable, "-m", "batch.fill", "--count", "150", "--jobs", "1", "--quiet"]
    fills = [subprocess.Popen(command, cwd=ROOT, env=environment(machine(name))) for name in ("one", "two")]
    assert [fill.wait(timeout=120) for fill in fills] == [0, 0]
    servers = [serve(machine(name)) for name in ("three", "four")]

    def pop(number: int) -> tuple[str, int]:
        """Ask one server, or the other where the first has none: what one holds, the other can't hand out."""
        for index in (number % 2, 1 - number % 2):
            answer = servers[index].get("/generate")
            if answer.ok:
                return str(answer.json()["id"]), index
        raise AssertionError(answer.text)

    def fetch(popped: tuple[str, int]) -> bytes:
        file_id, index = popped
        return servers[1 - index].get(f"/{file_id}").content

    with ThreadPoolExecutor(4) as clients:
        popped = list(clients.map(pop, range(300)))
        pictures = list(clients.map(fetch, popped))
    assert len({file_id for file_id, _ in popped}) == 300
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert len(set(pictures)) == 300
    assert servers[0].get("/generate").status_code == servers[1].get("/generate").status_code == 503
    assert not list(tmp_path.rglob("unused"))
