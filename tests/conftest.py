"""What all tests stand on: a fresh application per test, on SQLite and on a PostgreSQL server of the tests' own."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.test import TestResponse

from pilot import clock, resources
from pilot.accounts.service import Actor
from pilot.app import create_app
from pilot.config import Config, load
from pilot.db import db

CHECKOUT = Path(__file__).resolve().parent.parent
SECRET = "kX3v9Tq27mWzR5bLpN8cYd4HsJf6GaEu"
BACKENDS = ("sqlite", "postgresql")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that uses `app` on both databases, and one that uses `sqlite_app` on SQLite alone."""
    if "app" in metafunc.fixturenames:
        backends = BACKENDS[:1] if "sqlite_app" in metafunc.fixturenames else BACKENDS
        metafunc.parametrize("app", backends, indirect=True)


@pytest.fixture(autouse=True)
def _true_time() -> Iterator[None]:
    yield
    clock.reset()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PILOT_"):
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Config]:
    """Makes a configuration whose data lie in the test's own folder; arguments override settings."""

    def make(**overrides: Any) -> Config:
        return load(**{"secret_key": SECRET, "data_dir": tmp_path / "data", **overrides})

    return make


@pytest.fixture
def app(request: pytest.FixtureRequest, config: Callable[..., Config]) -> Iterator[Flask]:
    """A fresh application with its schema, its context pushed; on SQLite, then on PostgreSQL."""
    backend = getattr(request, "param", "sqlite")
    database: DatabaseTemplate = request.getfixturevalue(f"_{backend}_template")
    settings = config()
    with database.copy(settings) as url, _application(settings.model_copy(update={"database_url": url})) as app:
        yield app


@pytest.fixture
def sqlite_app(app: Flask) -> Flask:
    """The same application, on SQLite only: for tests where the database makes no difference."""
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without cookies. Each of its requests has a context of its own, as on a real server."""
    return app.test_client()


@pytest.fixture
def operator() -> Actor:
    """A member of sales operations."""
    return Actor("operator@example.com", frozenset({"operations"}))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets beside the checkout."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the public data sets are not beside this checkout (../shared/data)")
    return folder


class _Browser(FlaskClient):
    """A test client whose requests do not share the context of the test around them."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        db.session.rollback()  # afterwards the test sees what the request committed
        with self.application.app_context():
            return super().open(*args, **kwargs)


class _Compiled(BytecodeCache):
    """Templates are compiled once, and not by each test's application anew."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


_compiled = _Compiled()


@contextmanager
def _application(config: Config) -> Iterator[Flask]:
    app = create_app(config)
    app.testing = True
    app.test_client_class = _Browser
    app.jinja_env.bytecode_cache = _compiled
    # Passwords are hashed the same way as ever, but not as slowly: dozens of tests log somebody in.
    app.extensions["security"].pwd_context.update(argon2__memory_cost=64, argon2__rounds=1, argon2__parallelism=1)
    with app.app_context():
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()


def _make_schema(config: Config) -> None:
    with _application(config):
        if any((resources.folder("migrations") / "versions").glob("*.py")):
            upgrade()
        else:
            db.create_all()


class DatabaseTemplate:
    """A database with the schema in it, of which every test gets a copy."""

    def copy(self, config: Config) -> Any:
        """Context manager: makes a copy and gives its address, "" for the file in the data folder."""
        raise NotImplementedError


@dataclass
class _File(DatabaseTemplate):
    path: Path

    @contextmanager
    def copy(self, config: Config) -> Iterator[str]:
        config.data_dir.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path, config.data_dir / "pilot.sqlite")
        yield ""


@dataclass
class _Server(DatabaseTemplate):
    socket: str
    copies: int = 0

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://pilot@/{database}?host={self.socket}"

    def execute(self, statement: str) -> None:
        import psycopg

        with closing(psycopg.connect(f"host={self.socket} user=pilot dbname=postgres", autocommit=True)) as connection:
            connection.execute(statement)

    @contextmanager
    def copy(self, config: Config) -> Iterator[str]:
        self.copies += 1
        name = f"copy_{self.copies}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE blank STRATEGY file_copy")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> _File:
    folder = tmp_path_factory.mktemp("template")
    _make_schema(load(secret_key=SECRET, data_dir=folder))
    return _File(folder / "pilot.sqlite")


@pytest.fixture(scope="session")
def _postgresql_template(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> _Server:
    server = _Server(postgresql)
    server.execute("CREATE DATABASE blank")
    _make_schema(load(secret_key=SECRET, data_dir=tmp_path_factory.mktemp("blank"), database_url=server.url("blank")))
    return server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A throw-away PostgreSQL server; its socket's folder. User `pilot` may do everything."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path may not be long
    try:
        with _serving(found[-1], folder):
            yield str(folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _serving(programs: Path, folder: Path) -> Iterator[None]:
    """Run a server that also ends when the tests are killed; durability is traded for speed."""
    as_whom = ["setpriv", "--pdeathsig", "INT"]
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_whom += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    data = folder / "data"
    # A linguistic collation, as companies have: whoever needs bytewise order must ask for it.
    locale = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=it"]
    subprocess.run(
        [*as_whom, programs / "initdb", "-D", data, "-U", "pilot", "--auth=trust", "-E", "UTF8", "--no-sync", *locale],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    settings = ["listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "full_page_writes=off"]
    options = [part for setting in settings for part in ("-c", setting)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*as_whom, programs / "postgres", "-D", data, *options],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 30
        while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text()}")
            time.sleep(0.05)
        yield
    finally:
        server.send_signal(2)  # a fast shutdown
        server.wait()


@dataclass
class SmtpSink:
    """A relay that takes every message and keeps it; `X-RcptTo` is the envelope's recipient."""

    host: str = "127.0.0.1"
    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        message = message_from_bytes(bytes(envelope.content or b""), policy=policy.default)
        message["X-RcptTo"] = ", ".join(envelope.rcpt_tos)
        self.messages.append(message)
        return "250 OK"


class _AnyPort(Controller):
    """aiosmtpd's controller, able to listen on a port that the system chooses."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def smtp_sink() -> Iterator[SmtpSink]:
    """A running SMTP server that keeps what it is sent."""
    sink = SmtpSink()
    controller = _AnyPort(sink, hostname=sink.host, port=0, loop=asyncio.new_event_loop())
    controller.start()
    sink.port = controller.port
    try:
        yield sink
    finally:
        controller.stop()
        controller.loop.close()
