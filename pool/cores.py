"""How many processor cores this process may use, as its affinity and its container say."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def available_cores() -> int:
    """Return the number of cores for processes that work side by side; at least one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own_group = ""
    with suppress(OSError):
        own_group = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    return max(1, round(min([allowed, *cgroup_limits(own_group, Path("/sys/fs/cgroup"))])))


def cgroup_limits(own_group: str, root: Path) -> Iterator[float]:
    """Return the limits in cores of a process's control group and of those above it, of either version.

    Args:
        own_group: the content of `/proc/self/cgroup`.
        root: where the control groups are mounted.
    """
    for line in own_group.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, names = root, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            base, names = root / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        group = base / path.lstrip("/")
        for folder in (group, *group.parents[: len(group.parts) - len(base.parts)], base):
            with suppress(OSError, ValueError):  # a group of another container, or "max"
                quota, period = " ".join((folder / name).read_text(encoding="utf-8") for name in names).split()
                if int(quota) > 0:
                    yield int(quota) / int(period)
