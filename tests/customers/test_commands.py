import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from flask import Flask

from pilot import clock
from pilot.accounts.service import SYSTEM
from pilot.config import current
from pilot.customers.commands import profile, segments
from pilot.customers.intake.commands import import_
from pilot.customers.intake.service import import_file
from pilot.customers.models import Customer
from pilot.db import transaction
from pilot.errors import InputError, PilotError

from .conftest import Write

Run = Callable[..., Result]

SEGMENTS = """
[[segments]]
key = "key"
name = "Key customers"
rule = "revenue-at-least"
settings = { amount = 100 }
channel = "field-rep"

[[segments]]
key = "small"
name = "Small customers"
rule = "everyone"
channel = "service-desk"
"""


@pytest.fixture
def run(sqlite_app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty folder; errors for people come through."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def invoke(command: click.Command, *args: object) -> Result:
        return CliRunner().invoke(command, [str(arg) for arg in args], catch_exceptions=False)

    return invoke


def test_an_import_says_what_became_of_the_file_and_how_it_was_read(run: Run, write: Write) -> None:
    lines = ("Codice cliente;Nome;Lingua;Note", "C1;Rossi;Italiano;x", "C2;Bianchi;DE;y", ";Neri;it;z")
    shown = run(import_, "customers", write("base.csv", *lines)).stdout
    assert shown.startswith("base.csv: 2 customers taken over, 1 refused.")
    assert "language ← Lingua  (Italiano → it)" in shown
    assert "Assumed   language left empty where the word is not known: DE" in shown
    assert "Not read  Note" in shown
    assert "the row has no customer number" in shown
    assert Path("base-rejects.csv").read_text(encoding="utf-8-sig").splitlines()[1].startswith("4;Codice cliente;;")


def test_a_repeated_import_says_that_nothing_changed(run: Run, write: Write) -> None:
    path = write("o.csv", "Customer no;Order no;Date;Amount", "C1;A1;31/12/2025;1,50")
    assert run(import_, "orders", path).stdout.startswith("o.csv: 1 order taken over, none refused.")
    assert run(import_, "orders", path).stdout == "o.csv is in the base already: nothing was changed (1 order).\n"


def test_a_dry_run_writes_no_file_either(run: Run, write: Write) -> None:
    path = write("o.csv", "Customer no;Order no;Date;Amount", "C1;A1;31/12/2025;1,50", "C1;;31/12/2025;1,50")
    assert run(import_, "orders", path, "--dry-run").stdout.startswith("o.csv: 1 order would be taken over, 1 refused.")
    assert list(Path.cwd().iterdir()) == []


def test_a_map_file_names_the_columns(run: Run, write: Write) -> None:
    path = write("c.csv", "X1;X2", "C1;Rossi")
    told = run(import_, "customers", path, "--map", write("m.toml", 'ref = "X1"', 'name = "X2"'), "--json")
    document = json.loads(told.stdout)
    assert (document["accepted"], document["how"]["columns"]) == (1, {"ref": "X1", "name": "X2"})


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (("ref = 5",), r"m\.toml: ref is not the name of a column"),
        (("ref = ",), r"m\.toml: this is not TOML"),
    ],
)
def test_a_wrong_map_file_is_refused(run: Run, write: Write, lines: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        run(import_, "customers", write("c.csv", "X1;X2", "C1;R"), "--map", write("m.toml", *lines))


def test_a_missing_map_file_is_named(run: Run, write: Write) -> None:
    with pytest.raises(InputError, match=r"none\.toml: the file cannot be read: No such file"):
        run(import_, "customers", write("c.csv", "X1;X2", "C1;R"), "--map", "none.toml")


def test_profile_and_segments_sum_the_base_up(run: Run, write: Write) -> None:
    assert "There are no customers yet" in run(profile).stdout
    run(import_, "customers", write("c.csv", "ref;name", "C1;Rossi", "C2;Neri"))
    run(
        import_,
        "orders",
        write("o.csv", "ref;order no;date;amount;x", "C1;A1;2026-03-01;2500;"),
        "--map",
        write("m.toml", 'customer_ref = "ref"'),
    )
    shown = run(profile, "--as-of", "2026-03-31").stdout
    assert shown.startswith("2 customers as of 2026-03-31")
    assert "Revenue, EUR" in shown
    assert json.loads(run(profile, "--as-of", "2026-03-31", "--json").stdout)["share_of_top_fifth"] == 1.0
    table = run(segments, "--set", write("s.toml", SEGMENTS)).stdout
    assert "revenue of the last twelve months at least 100" in table
    assert "Nobody crossed from one segment to another." in table
    found = json.loads(run(segments, "--json").stdout)
    assert [(row["key"], row["customers"], row["channel"]) for row in found["segments"]] == [
        ("key", 1, "field-rep"),
        ("small", 1, "service-desk"),
    ]


def test_a_file_without_segments_is_refused(run: Run, write: Write) -> None:
    with pytest.raises(InputError, match=r"s\.toml: the file does not hold segments alone"):
        run(segments, "--set", write("s.toml", 'ref = "X1"'))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--undo", "1", "--resume", "1"), "stand alone"),
        (("--undo", "1", "--dry-run", "customers"), "stand alone"),
        (("--list", "--dry-run"), "stand alone"),
        (("--list", "--yes"), "--yes answers the question of --undo"),
        (("orders", "o.csv", "--overwrite-by-hand"), "--overwrite-by-hand is for imports of customers"),
        (("--list", "customers", "c.csv"), "stand alone"),
        (("--undo", "99999999999999999999"), "is not in the range"),
    ],
)
def test_acts_on_an_import_that_contradict_each_other_are_refused(
    run: Run, arguments: tuple[str, ...], complaint: str
) -> None:
    answer = run(import_, *arguments)
    assert answer.exit_code == 2
    assert complaint in answer.stderr


def test_refused_rows_are_for_the_eyes_of_who_imports_alone(run: Run, write: Write) -> None:
    Path("c-rejects.csv").touch(0o644)
    run(import_, "customers", write("c.csv", "ref;name", "C1;Rossi", ";Neri"))
    assert Path("c-rejects.csv").stat().st_mode & 0o777 == 0o600
    (kept,) = (current().data_dir / "imports").glob("*-rejects.csv")
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("lines", "options", "code"),
    [
        (("ref;name", "C1;Rossi", ";Neri"), (), 0),
        (("ref;name", "C1;Rossi", ";Neri"), ("--strict",), 1),
        (("ref;name", "C1;Rossi", ";Neri"), ("--strict", "--dry-run"), 1),
        (("ref;name", ";Neri"), (), 1),
        (("ref;name", ";Neri"), ("--strict",), 1),
        (("what;ever", "C1;Rossi"), ("--strict",), 2),
        (("ref;name",), ("--strict",), 2),
    ],
)
def test_exit_code_1_says_that_rows_were_refused_and_2_that_nothing_could_be_read(
    run: Run, write: Write, lines: tuple[str, ...], options: tuple[str, ...], code: int
) -> None:
    path = write("c.csv", *lines)
    if not code:
        assert run(import_, "customers", path, *options).exit_code == 0
        return
    with pytest.raises(PilotError) as refused:
        run(import_, "customers", path, *options)
    assert refused.value.exit_code == code


def test_values_that_staff_filled_in_are_told_of(run: Run, write: Write) -> None:
    run(import_, "customers", write("a.csv", "ref;name;email", "C1;Rossi;"))
    with transaction() as work:
        work.session.execute(sa.update(Customer).values(email="desk@example.com", by_hand=["email"]))
    path = write("b.csv", "ref;name;email", "C1;Rossi spa;file@example.com")
    for dry_run in (("--dry-run",), ()):
        shown = run(import_, "customers", path, *dry_run).stdout
        assert "1 value that staff filled in: kept, though the file tells otherwise" in shown
    assert json.loads(run(import_, "customers", path, "--json").stdout)["kept"] == 1
    shown = run(import_, "customers", path, "--overwrite-by-hand").stdout
    assert "1 value that staff filled in: overwritten, as was asked for" in shown
    assert [entry["kept"] for entry in json.loads(run(import_, "--list", "--json").stdout)] == [0, 1, 0]


def test_the_list_says_what_is_unfinished_until_when_and_what_to_do(
    run: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.travel(datetime(2026, 3, 1, 14, 30, tzinfo=UTC))
    listed: list[Result] = []

    def look_and_break_off(*_: object) -> None:
        listed.extend((run(import_, "--list"), run(import_, "--list", "--json")))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pilot.customers.intake.merging.Merge._compare", look_and_break_off)
        with pytest.raises(KeyboardInterrupt):
            import_file(SYSTEM, "customers", write("a.csv", "ref;name", "C1;Rossi", "C2;Neri"))
    until = "14:35 UTC, in 5 minutes"
    assert f"Import 1 is being worked on, at least until {until}; 0 of 2 rows are done. Wait" in listed[0].stdout
    (entry,) = json.loads(listed[1].stdout)
    assert (entry["state"], entry["until"][:16]) == ("running", "2026-03-01 14:35")
    shown = run(import_, "--list").stdout
    assert "Import 1 was interrupted; 0 of 2 rows are done. Go on with it (pilot import --resume 1) or undo it" in shown
    (entry,) = json.loads(run(import_, "--list", "--json").stdout)
    assert (entry["state"], entry["until"], "--resume 1" in entry["remedy"]) == ("interrupted", None, True)
