"""Cores that this process may use: affinity, and the limits of containers in both versions of control groups."""

import os
from pathlib import Path

import pytest

from pool.cores import available_cores, cgroup_limits


def test_affinity_limits() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= available_cores() <= len(allowed)


@pytest.mark.parametrize(
    ("own_group", "files", "limits"),
    [
        ("0::/", {"cpu.max": "25000 100000\n"}, [0.25, 0.25]),
        ("0::/a.slice/b", {"a.slice/cpu.max": "200000 100000\n", "a.slice/b/cpu.max": "max 100000\n"}, [2.0]),
        ("0::/../elsewhere", {"cpu.max": "max 100000\n"}, []),
        (
            "4:cpu,cpuacct:/docker/1f\n3:memory:/docker/1f\n",
            {"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            [1.5],
        ),
        ("4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ("", {}, []),
    ],
)
def test_containers_limit(own_group: str, files: dict[str, str], limits: list[float], tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert sorted(set(cgroup_limits(own_group, tmp_path))) == sorted(set(limits))
