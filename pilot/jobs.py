"""The queue: the one module that knows the job engine.

The database is the truth and the queue only a nudge: nothing is lost if it forgets, because every job also
runs every few minutes and finds whatever is due.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from flask import Flask, current_app
from huey import SqliteHuey, crontab
from huey.api import TaskWrapper
from huey.consumer import Consumer

from pilot.config import Config
from pilot.errors import PilotError

log = logging.getLogger(__name__)

Job = Callable[[], bool]
"""Does one batch of what is due and says whether more may be waiting."""


class Jobs:
    """The jobs of one application, and their queue in its data folder."""

    def __init__(self, app: Flask, path: Path) -> None:
        self._app, self._path = app, path
        self._jobs: dict[str, tuple[Job, int]] = {}
        self._tasks: dict[str, TaskWrapper] = {}
        self._running: dict[str, threading.Lock] = {}
        self._stopping = threading.Event()

    def add(self, name: str, job: Job, minutes: int) -> None:
        """Let `job` run every so many minutes and when nudged. Jobs are added before the queue is used."""
        self._jobs[name] = job, minutes
        self._running[name] = threading.Lock()

    def nudge(self, name: str) -> None:
        """Let a job run soon; several nudges before it runs are one."""
        engine = self._engine
        if all(waiting.name != name for waiting in engine.pending()):
            engine.enqueue(self._tasks[name].s())

    def waiting(self) -> int:
        """How many nudges wait for a worker."""
        return int(self._engine.pending_count())

    @contextmanager
    def working(self, threads: int) -> Iterator[None]:
        """Run jobs in threads of this process during the block; its end waits for the batches under way."""
        self._stopping.clear()
        consumer = _Consumer(self._engine, workers=threads, max_delay=1.0)
        consumer.start()
        try:
            yield
        finally:
            self._stopping.set()
            consumer.stop(graceful=True)
            self._engine.storage.close()

    @cached_property
    def _engine(self) -> SqliteHuey:
        """The engine, knowing all jobs: it fails on nudges of jobs that it does not know."""
        engine = SqliteHuey("pilot", filename=str(self._path), results=False)
        for name, (_, minutes) in self._jobs.items():
            rhythm = engine.periodic_task(crontab(minute=f"*/{minutes}"), name=name)
            self._tasks[name] = rhythm(self._runner(name))
        return engine

    def _runner(self, name: str) -> Callable[[], None]:
        def run() -> None:
            self._run(name)

        return run

    def _run(self, name: str) -> None:
        """Work off batch after batch, unless another thread is at it already."""
        job, _ = self._jobs[name]
        if not self._running[name].acquire(blocking=False):
            return
        try:
            more = True
            while more and not self._stopping.is_set():
                with self._app.app_context():
                    more = job()
        except PilotError as error:
            log.error("job %s: %s", name, error)
        finally:
            self._running[name].release()


class _Consumer(Consumer):  # type: ignore[misc]
    """Huey's workers and its clock, in a process whose signals somebody else minds."""

    def _set_signal_handlers(self) -> None:
        pass


def of(app: Flask) -> Jobs:
    """The jobs of an application. Nothing is written before they are used."""
    config: Config = app.extensions["pilot.config"]
    jobs: Jobs = app.extensions.setdefault("pilot.jobs", Jobs(app, config.data_dir / "queue.sqlite"))
    return jobs


def nudge(name: str) -> None:
    """Let a job of the current application run soon. Never fails: without the nudge it runs some minutes later."""
    try:
        of(current_app).nudge(name)
    except sqlite3.Error:
        log.exception("job %s could not be nudged", name)
