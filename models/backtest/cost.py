"""What a step costs: seconds, and the memory that it needs at its peak."""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # see proc(5): the peak begins anew at what is resident now


@dataclass(frozen=True)
class Cost:
    """Hold what a step took."""

    seconds: float  # by the clock
    cpu: float  # seconds of all its threads: what to compare on a machine that others use too
    peak: int  # bytes above what the process held before; 0 where the system does not tell


class Meter:
    """Measure what happens inside a `with` block; one at a time in a process."""

    cost = Cost(0.0, 0.0, 0)

    def __enter__(self) -> Meter:
        self._held = _forget_peak()
        self._started, self._worked = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds, cpu = time.perf_counter() - self._started, time.process_time() - self._worked
        self.cost = Cost(seconds, cpu, max(0, _memory("VmHWM") - self._held) if self._held else 0)


def _forget_peak() -> int:
    """Begin the peak anew and return the bytes that are resident; 0 where the system does not tell.

    What was freed goes back to the system first: else a step would seem to need nothing that an earlier one had left.
    """
    with suppress(OSError, AttributeError):  # another system, or another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
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
