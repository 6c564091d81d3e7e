"""The queue: jobs run when nudged, one at a time, and are never lost by a failure or a stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from flask import Flask, current_app

from pilot import jobs

PATIENCE = 10.0


class Work:
    """A job with a number of batches, and what became of it."""

    def __init__(self, batches: int = 1) -> None:
        self.left, self.done = batches, threading.Event()
        self.applications: list[Flask] = []

    def __call__(self) -> bool:
        self.applications.append(current_app._get_current_object())  # type: ignore[attr-defined]
        self.left -= 1
        if not self.left:
            self.done.set()
        return self.left > 0


@pytest.fixture
def add(sqlite_app: Flask) -> Callable[[jobs.Job], None]:
    sqlite_app.extensions.pop("pilot.jobs", None)  # the built-in jobs stay out of it
    return lambda job: jobs.of(sqlite_app).add("work", job, minutes=59)


def test_a_nudged_job_runs_all_its_batches_in_the_application(sqlite_app: Flask, add: Callable[..., None]) -> None:
    work = Work(batches=3)
    add(work)
    with jobs.of(sqlite_app).working(threads=2):
        jobs.nudge("work")
        assert work.done.wait(PATIENCE)
    assert work.applications == [sqlite_app] * 3


def test_nudges_wait_for_a_worker_and_many_are_one(sqlite_app: Flask, add: Callable[..., None]) -> None:
    work = Work(batches=1)
    add(work)
    for _ in range(3):
        jobs.nudge("work")
    assert jobs.of(sqlite_app).waiting() == 1
    with jobs.of(sqlite_app).working(threads=1):
        assert work.done.wait(PATIENCE)
    assert work.left == 0
    assert jobs.of(sqlite_app).waiting() == 0


def test_a_nudge_outlives_the_process_that_gave_it(sqlite_app: Flask, add: Callable[..., None]) -> None:
    add(Work())
    jobs.nudge("work")
    work = Work()
    del sqlite_app.extensions["pilot.jobs"]  # a new process knows nothing
    jobs.of(sqlite_app).add("work", work, minutes=59)
    with jobs.of(sqlite_app).working(threads=1):
        assert work.done.wait(PATIENCE)


def test_a_failing_job_is_logged_and_the_next_nudge_is_heard(
    sqlite_app: Flask, add: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []
    second = threading.Event()

    def fail_once() -> bool:
        attempts.append(1)
        if len(attempts) == 1:
            raise ZeroDivisionError("the first attempt")
        second.set()
        return False

    add(fail_once)
    with jobs.of(sqlite_app).working(threads=1):
        jobs.nudge("work")
        for _ in range(100):
            if second.wait(PATIENCE / 100):
                break
            jobs.nudge("work")
    assert second.is_set()
    assert "the first attempt" in caplog.text


def test_stopping_ends_the_batch_under_way_and_begins_no_other(sqlite_app: Flask, add: Callable[..., None]) -> None:
    begun, batches = threading.Event(), []

    def endless() -> bool:
        begun.set()
        threading.Event().wait(0.2)
        batches.append(1)
        return True

    add(endless)
    with jobs.of(sqlite_app).working(threads=1):
        jobs.nudge("work")
        assert begun.wait(PATIENCE)
    finished = len(batches)
    assert finished >= 1
    assert not any(thread.name.startswith("Worker") for thread in threading.enumerate())


def test_a_job_never_runs_twice_at_the_same_time(sqlite_app: Flask, add: Callable[..., None]) -> None:
    inside, most, runs = [0], [0], threading.Semaphore(0)

    def job() -> bool:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.3)
        inside[0] -= 1
        runs.release()
        return False

    add(job)
    with jobs.of(sqlite_app).working(threads=3):
        for _ in range(5):
            jobs.nudge("work")
            threading.Event().wait(0.1)
        assert runs.acquire(timeout=PATIENCE)
    assert most == [1]
