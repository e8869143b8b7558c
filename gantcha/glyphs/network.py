"""A trained network at work, in ONNX Runtime."""

import os
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

_CUDA = "CUDAExecutionProvider"
_BLOCK = 64  # glyphs run at once: their feature maps stay in the processor's caches, and memory stays flat


class Network:
    """An `.onnx` file. Its session is made on first use, so glyph classes outside the alphabet cost nothing."""

    def __init__(self, source: Path | bytes) -> None:
        self._source = source

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the content of the file: another machine makes its own session."""
        return {"_source": self._source if isinstance(self._source, bytes) else self._source.read_bytes()}

    @cached_property
    def _session(self) -> "InferenceSession":
        import onnxruntime as ort  # noqa: PLC0415 - what only checks the files does without

        return ort.InferenceSession(self._source, _options(), providers(ort.get_available_providers()))

    def run(self, **inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run on arrays `[N, ...]`, given by the names of the network's inputs; return its output `[N, ...]`."""
        count = len(next(iter(inputs.values())))
        parts = (
            {name: array[first : first + _BLOCK] for name, array in inputs.items()}
            for first in range(0, max(count, 1), _BLOCK)
        )
        return np.concatenate([self._session.run(None, part)[0] for part in parts])


def providers(available: Sequence[str], devices: Path = Path("/dev")) -> list[str]:
    """Return what ONNX Runtime is to draw on: an NVIDIA GPU before the CPU where it can use one and there is one.

    `CUDA_VISIBLE_DEVICES` without a value, or -1, turns it off, as for other programs. Asked for a GPU that is not
    there, ONNX Runtime would print warnings.
    """
    is_off = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    is_there = _CUDA in available and not is_off and any(devices.glob("nvidia[0-9]*"))
    return [*[_CUDA] * is_there, "CPUExecutionProvider"]


@cache
def _options() -> "SessionOptions":
    """One thread, since captchas are drawn in several processes, and one memory arena for all sessions."""
    import onnxruntime as ort  # noqa: PLC0415

    cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(cpu, None)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: it warns of the steps that a GPU leaves to the CPU
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options
