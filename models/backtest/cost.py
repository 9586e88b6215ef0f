"""What a step costs: seconds, and the memory that it needs at its peak."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # see proc(5): the peak begins anew at what is resident now


@dataclass(frozen=True)
class Cost:
    """Hold what a step took."""

    seconds: float
    peak: int  # bytes above what the process held before; 0 where the system does not tell


class Meter:
    """Measure what happens inside a `with` block; one at a time in a process."""

    cost = Cost(0.0, 0)

    def __enter__(self) -> Meter:
        self._held = _forget_peak()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._started
        self.cost = Cost(seconds, max(0, _memory("VmHWM") - self._held) if self._held else 0)


def _forget_peak() -> int:
    """Begin the peak anew and return the bytes that are resident; 0 where the system does not tell."""
    try:
        _FORGET.write_text(_FORGET_PEAK)
        return _memory("VmRSS")
    except OSError:
        return 0


def _memory(name: str) -> int:
    """Return a line of the process's status in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0
