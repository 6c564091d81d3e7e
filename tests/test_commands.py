"""`pilot serve` and `pilot worker`: one process each, ended in good order by TERM and by Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

PILOT = Path(sys.executable).with_name("pilot")


@pytest.fixture
def environment(sqlite_app: Flask) -> dict[str, str]:
    """Variables under which a command works on the data of the test's application."""
    config = sqlite_app.extensions["pilot.config"]
    return os.environ | {"PILOT_SECRET_KEY": config.secret_key, "PILOT_DATA_DIR": str(config.data_dir)}


@contextmanager
def running(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [PILOT, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def end(process: subprocess.Popen[str], how: signal.Signals) -> None:
    process.send_signal(how)
    assert told(process) == "Stopped.\n"
    assert process.wait(20) == 0


def test_serve_answers_and_ends_when_told(environment: dict[str, str]) -> None:
    with running(environment, "serve", "--port", "0") as process:
        address = re.search(r"http://127\.0\.0\.1:\d+", told(process))
        assert address
        with urllib.request.urlopen(f"{address[0]}/", timeout=20) as answer:
            assert answer.status == 200
        end(process, signal.SIGTERM)


def test_worker_ends_when_told(environment: dict[str, str]) -> None:
    with running(environment, "worker") as process:
        assert told(process) == "Working. Ctrl-C ends it.\n"
        end(process, signal.SIGINT)


def test_a_database_without_schema_is_a_sentence(tmp_path: Path, environment: dict[str, str]) -> None:
    elsewhere = environment | {"PILOT_DATA_DIR": str(tmp_path / "new")}
    answer = subprocess.run([PILOT, "profile"], env=elsewhere, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == (
        "The database refuses: no such table: imports. Is it there and up to date? Run pilot doctor.\n"
    )


def test_a_taken_port_is_a_sentence(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = subprocess.run(
            [PILOT, "serve", "--port", str(port)], env=environment, capture_output=True, text=True, check=False
        )
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"127.0.0.1:{port} cannot be listened on")
    assert answer.stderr.endswith("Choose another --port.\n")
