"""Drawing on a Ray cluster of several nodes, on this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pool.pool import Pool
from tests.conftest import PLAIN, ROOT, environment, only_line, png_names, row_ids, run, wait_until
from tests.support.documents import documented

_CLUSTER = """
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
print("address", cluster.address, flush=True)
while input():
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("lost", flush=True)
cluster.shutdown()
"""
"""A head that draws nothing and two nodes of a core each; a line of input kills one of them, an empty one all."""


class Cluster:
    """A cluster in a process of its own, since Ray changes how the process that starts it takes signals."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.address = self._answer("address ")

    def _answer(self, beginning: str) -> str:
        for line in self._process.stdout or ():
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()
        raise AssertionError("the cluster ended")

    def _say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def lose_a_node(self) -> None:
        self._say("kill")
        self._answer("lost")

    def end(self) -> None:
        self._say("")
        self._process.wait(timeout=60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    quiet = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", _CLUSTER], env=quiet, **pipes) as process:
        cluster = Cluster(process)
        yield cluster
        cluster.end()


def test_a_cluster_draws_the_same_dataset(cluster: Cluster, tmp_path: Path) -> None:
    told = documented("docs/machines.md", "--engine ray", "--dataset")
    there = {"10000000": 1500, "shards": tmp_path / "there", "auto": cluster.address}
    engines = {"here": told[: told.index("--engine")], "there": told}
    for name, words in engines.items():
        places = there | {"shards": tmp_path / name}
        options = ("--seed", 4, "--shard-size", 500, "--quiet")
        finished = run(*(places.get(word, word) for word in words), *options)
        assert finished.returncode == 0, finished.stderr
    tars = [sorted((tmp_path / name).glob("*.tar")) for name in engines]
    assert [tar.read_bytes() for tar in tars[0]] == [tar.read_bytes() for tar in tars[1]]
    assert len(tars[0]) == 3


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_node_lost_half_way_costs_nothing_but_time(cluster: Cluster, pool: Pool, settings: dict[str, object]) -> None:
    places = {"1000000": "5000", "10.0.0.1:6379": cluster.address}
    words = [places.get(word, word) for word in documented("docs/machines.md", "--engine ray", "--target")]
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, cwd=ROOT, env=environment(settings), stdout=subprocess.PIPE, text=True) as fill:
        wait_until(lambda: pool.level(PLAIN) > 0, "the first chunk")
        cluster.lose_a_node()
        printed, _ = fill.communicate(timeout=120)
    assert fill.returncode == 0
    assert "5000 captchas added" in printed
    assert pool.level(PLAIN) == 5000
    assert row_ids(pool) == png_names(pool.files.folder)
    assert len({issued.id for issued in pool.pop(6000, stock=PLAIN)}) == 5000


def test_a_cluster_that_does_not_answer_is_told(settings: dict[str, object]) -> None:
    words = ("--count", 1, "--engine", "ray", "--ray-address", "127.0.0.1:1")
    assert "the Ray cluster 127.0.0.1:1 does not answer" in only_line(run("batch.fill", *words, **settings))
