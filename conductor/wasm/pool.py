"""Threads that run guests: few while calls are short, one more for each call that is long.

Eight spinning guests would fill any fixed pool; here a job that has run for more than a beat does not count, and a
fresh thread takes its place. The same beat begins the engine's epochs, and only while something runs or waits.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

__all__ = ["Job", "Pool"]

BEAT: Final = 0.01
IDLE_SECONDS: Final = 10.0
FRESH: Final = 4
"""Threads that are not in a long call, as soon as jobs wait."""
MOST: Final = 2048
LONG: Final = 0.025
NICE: Final = 10
"""What a thread in a call longer than `LONG` becomes: spinners share what ordinary threads leave."""
Job = Callable[[], None]
log = logging.getLogger(__name__)


class Pool:
    """Own the threads. Jobs must not raise; they are started in order, on any thread."""

    def __init__(self, *, on_beat: Callable[[], None], name: str = "wasm", most: int = MOST) -> None:
        self._on_beat, self._name, self._most = on_beat, name, most
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._timers: list[tuple[float, int, Job]] = []
        self._numbers = itertools.count()
        self._busy: dict[int, float] = {}
        """Thread (kernel's id) -> when it began the job that it does."""
        self._niced: set[int] = set()
        """Threads that lost their priority; only root could give it back, so they end after their job."""
        self._threads = 0
        self._waiting = 0
        self._beating = False
        self._closed = False

    @property
    def threads(self) -> int:
        """Threads that exist now."""
        return self._threads

    def put(self, job: Job) -> None:
        """Have a job done as soon as possible."""
        with self._lock:
            self._waiting += 1
            self._grow()
            self._begin_beating()
        self._jobs.put(job)
        self._wake.set()

    def later(self, seconds: float, job: Job) -> None:
        """Have a job done after a while, to the nearest beat."""
        with self._lock:
            heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), job))
            self._begin_beating()
        self._wake.set()

    def close(self) -> None:
        """Let threads end after what they do now; those that do not return are left behind."""
        with self._lock:
            self._closed = True
            self._timers.clear()
            threads = self._threads
        for _ in range(threads):
            self._jobs.put(None)
        self._wake.set()

    def _grow(self) -> None:
        """Start a thread where jobs wait and too few are at hand (lock held)."""
        if threading.get_native_id() in self._niced:
            return  # a thread inherits its maker's priority: the beat will see to it
        now = time.monotonic()
        long = sum(1 for began in self._busy.values() if now - began > BEAT)
        idle = self._threads - len(self._busy)
        if self._waiting > idle and self._threads < min(self._most, FRESH + long) and not self._closed:
            self._threads += 1
            threading.Thread(target=self._work, name=f"{self._name}-{next(self._numbers)}", daemon=True).start()

    def _work(self) -> None:
        me = threading.get_native_id()
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                job = None
            with self._lock:
                if job is None:
                    if self._waiting and not self._closed:
                        continue
                    self._threads -= 1
                    return
                self._waiting -= 1
                self._busy[me] = time.monotonic()
            try:
                job()
            except Exception:
                log.exception("a job of a wasm program failed")
            finally:
                with self._lock:
                    del self._busy[me]
                    is_worn = me in self._niced
                    self._niced.discard(me)
                    self._threads -= is_worn
            if is_worn:
                return
            del job

    def _begin_beating(self) -> None:
        if not self._beating and not self._closed:
            self._beating = True
            threading.Thread(target=self._beat, name=f"{self._name}-beat", daemon=True).start()

    def _beat(self) -> None:
        while not self._closed or self._busy:  # guests that still run must meet the ends of their budgets
            with self._lock:
                is_needed = bool(self._busy or self._waiting)
                due = self._due()
                nearest = self._timers[0][0] if self._timers else None
                if self._waiting:
                    self._grow()
                self._step_back()
                if not is_needed:
                    self._wake.clear()
            for job in due:
                self.put(job)
            if is_needed or due:
                self._on_beat()
                time.sleep(BEAT)
            else:
                self._wake.wait(None if nearest is None else max(0.001, nearest - time.monotonic()))

    def _step_back(self) -> None:
        """Let threads in long calls yield the processor to all others (lock held)."""
        now = time.monotonic()
        for thread, began in self._busy.items():
            if now - began > LONG and thread not in self._niced:
                self._niced.add(thread)
                with suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, thread, NICE)

    def _due(self) -> list[Job]:
        due, now = [], time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        return due
