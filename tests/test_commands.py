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


def run(environment: dict[str, str], *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PILOT, *arguments], env=environment | changes, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_database_without_schema_is_a_sentence(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "pilot.sqlite").touch()
    answer = run(environment, "profile", PILOT_DATA_DIR=str(tmp_path / "new"))
    assert answer.returncode == 2
    assert answer.stderr == (
        "The database refuses: no such table: imports. Is it there and up to date? Run pilot doctor.\n"
    )


def test_a_mistyped_data_folder_is_a_sentence_and_makes_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    mistyped = tmp_path / "daat"
    for command in (["profile"], ["plugins"], ["serve", "--port", "0"]):
        answer = run(environment, *command, PILOT_DATA_DIR=str(mistyped))
        assert answer.returncode == 2
        assert answer.stderr == (
            f"PILOT_DATA_DIR: there is no {mistyped}. Correct the variable, or set up a new installation there with "
            "`pilot upgrade`.\n"
        )
    mistyped.mkdir()
    assert (
        "there is no " + str(mistyped / "pilot.sqlite")
        in run(environment, "profile", PILOT_DATA_DIR=str(mistyped)).stderr
    )
    elsewhere = run(environment, "profile", PILOT_DATABASE_URL=f"sqlite:///{tmp_path}/other.sqlite")
    assert elsewhere.stderr.startswith(f"PILOT_DATABASE_URL: there is no {tmp_path}/other.sqlite. ")
    assert list(mistyped.iterdir()) == []


@pytest.mark.parametrize("address", ["foo://", "pilot.sqlite", "mysql+mysqldb://pilot:s3cret@db/pilot"])
def test_an_address_of_no_database_is_a_sentence(environment: dict[str, str], address: str) -> None:
    answer = run(environment, "profile", PILOT_DATABASE_URL=address)
    assert answer.returncode == 2
    assert answer.stderr.startswith("configuration: PILOT_DATABASE_URL: no database can be reached by this address (")
    assert answer.stderr.count("\n") == 1
    assert "s3cret" not in answer.stderr


def test_a_taken_port_is_a_sentence(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = subprocess.run(
            [PILOT, "serve", "--port", str(port)], env=environment, capture_output=True, text=True, check=False
        )
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"127.0.0.1:{port} cannot be listened on")
    assert answer.stderr.endswith("Choose another --port.\n")
