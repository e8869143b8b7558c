"""A trained network at work, in ONNX Runtime."""

from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

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
        from onnxruntime import InferenceSession  # noqa: PLC0415 - what only checks the files does without

        return InferenceSession(self._source, _options(), ["CPUExecutionProvider"])

    def run(self, **inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Run on arrays `[N, ...]`, given by the names of the network's inputs; return its output `[N, ...]`."""
        count = len(next(iter(inputs.values())))
        parts = (
            {name: array[first : first + _BLOCK] for name, array in inputs.items()}
            for first in range(0, max(count, 1), _BLOCK)
        )
        return np.concatenate([self._session.run(None, part)[0] for part in parts])


@cache
def _options() -> "SessionOptions":
    """One thread, since captchas are drawn in several processes, and one memory arena for all sessions."""
    import onnxruntime as ort  # noqa: PLC0415

    cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(cpu, None)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options
