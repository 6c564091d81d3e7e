"""The pages of imports: upload, mapping, trying, taking over by the job, result, undo."""

from __future__ import annotations

import gzip
import html
import io
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pilot import clock
from pilot.accounts.models import AuditEntry
from pilot.accounts.service import SYSTEM, add_user
from pilot.config import Source
from pilot.customers.intake import lease, preview, uploads, worker
from pilot.customers.intake.service import import_file
from pilot.customers.models import ColumnMap, Customer, Import
from pilot.customers.orderstore import store
from pilot.db import db
from tests.customers.directions import TURNED, leaks

PASSWORD = "rather-long-and-calm"
ITALIAN = (
    "Codice cliente;Numero ordine;Data ordine;Importo netto;Note\r\n"
    "C1;A1;31/12/2025;1.234,50;Città\r\n"
    "C2;A2;01/02/2026;3,00;\r\n"
    "C2;A3;ieri;7,25;\r\n"
).encode("cp1252")
POLISH = "Nr klienta;Nazwa;Miasto;Adres e-mail\nC1;Żółć i Spółka;Łódź;biuro@zolc.example\nC2;Kąt;Kraków;\n".encode(
    "cp1250"
)


class Desk:
    """Somebody with a browser: every form is posted with the token of the page it stands on, as it was last seen."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.seen: dict[str, str] = {}

    def get(self, path: str) -> TestResponse:
        return self.shown(path, self.client.get(path, buffered=True))

    def shown(self, path: str, answer: TestResponse) -> TestResponse:
        if answer.status_code == 200 and answer.mimetype == "text/html":
            self.seen[path] = answer.text
        return answer

    def page(self, path: str) -> str:
        return self.seen.get(path) or self.get(path).text

    def post(self, path: str, page: str, data: dict[str, Any]) -> TestResponse:
        return self.client.post(path, data={"csrf_token": token_in(self.page(page)), **data})

    def upload(self, kind: str, name: str, content: bytes) -> str:
        answer = self.post("/imports/new", "/imports", {"kind": kind, "file": (io.BytesIO(content), name)})
        assert answer.status_code == 302, answer.text
        return answer.location

    def act(self, page: str, act: str, **changed: str) -> TestResponse:
        shown = self.page(page)
        data = {**filled(shown), "csrf_token": token_in(shown), "act": act, **changed}
        return self.shown(page, self.client.post(page, data=data))


def token_in(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]


def filled(page: str) -> dict[str, str]:
    """What a browser would post of the form of a mapping page."""
    form = page[page.index('<form method="post" action="/imports/new') :]
    given = {}
    for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.findall(r'value="([^"]*)" selected', options)
        given[name] = html.unescape(chosen[0]) if chosen else ""
    header = re.search(r'name="header" value="([^"]*)"', form)
    return {**given, "header": header[1] if header else "", "rows": "good"}


def multipart(token: str, rows: int) -> dict[str, Any]:
    """A form with a large file as a browser sends it."""
    file = "ref;name\n" + "1;Rossi\n" * rows
    fields = {'name="csrf_token"': token, 'name="kind"': "customers", 'name="file"; filename="a.csv"': file}
    parts = [f"--x\r\nContent-Disposition: form-data; {name}\r\n\r\n{value}\r\n" for name, value in fields.items()]
    return {"data": "".join((*parts, "--x--\r\n")).encode(), "content_type": "multipart/form-data; boundary=x"}


def text_of(page: TestResponse) -> str:
    """The words of a page without its elements."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


@pytest.fixture
def desk(app: Flask) -> Callable[[str], Desk]:
    """Logs somebody of a role in."""

    def of(role: str) -> Desk:
        add_user(SYSTEM, f"{role}@example.com", role, PASSWORD)
        desk = Desk(app.test_client())
        desk.post("/login", "/login", {"email": f"{role}@example.com", "password": PASSWORD})
        return desk

    return of


def work() -> None:
    while worker.work_off():
        pass


def test_an_italian_file_goes_from_upload_to_undo_without_being_told_anything(
    app: Flask, desk: Callable[[str], Desk]
) -> None:
    clock.travel(clock.now().replace(year=2026, month=3, day=3))
    anna = desk("operations")
    page = anna.upload("orders", "ordini marzo.csv", ITALIAN)
    seen = text_of(anna.get(page))
    for told in ("Windows-1252 (à è ì ò ù): for instance Città", "semicolon ;", "decimal comma: for instance 1.234,50",
                 "dd/mm/yyyy: for instance 31/12/2025", "3 rows", "Columns that are not read: Note",
                 "31 Dec 2025 1,234.50", "is not a day written dd/mm/yyyy"):  # fmt: skip
        assert told in seen
    tried = anna.act(page, "try")
    assert tried.location.endswith("/progress")
    waiting = anna.get(tried.location)
    assert "being read and checked" in waiting.text
    assert waiting.headers["Refresh"]
    work()
    assert anna.get(tried.location).location == page
    assert "would be taken over 2 unchanged 0 refused 1" in text_of(anna.get(page))
    assert "ieri" in anna.get(page).text
    assert db.session.scalar(sa.select(sa.func.count(Import.id))) == 0
    refused = anna.get(f"{page}/rejects.csv")
    assert refused.headers["Cache-Control"] == "no-store"
    assert "ieri" in refused.text

    anna.act(page, "take")
    work()
    result = anna.get(f"{page}/progress").location
    assert (store().last_order_day(), store().story("C1")[0][0].amount) == (date(2026, 2, 1), Decimal("1234.50"))
    told = text_of(anna.get(result))
    assert "taken over 2 unchanged 0 refused 1" in told
    assert "Refused rows The first refused rows Line" in told
    refused = anna.get(f"{result}/rejects.csv")
    assert refused.text.splitlines()[1].split(";", 3)[:3] == ["4", "Data ordine", "ieri"]
    assert "rejects downloaded" in db.session.scalars(sa.select(AuditEntry.action)).all()
    assert "ordini marzo.csv" in anna.get("/imports").text

    assert "2 rows count no more." in text_of(anna.get(f"{result}/undo"))
    ordered = anna.post(f"{result}/undo", f"{result}/undo", {}).location
    assert store().last_order_day() is not None, "a page does not wait for it"
    waiting = anna.get(ordered)
    assert "It is being undone" in waiting.text
    assert waiting.headers["Refresh"]
    assert anna.post(f"{result}/undo", f"{result}/undo", {}).location == ordered, "pressed twice is ordered once"
    assert "It is being undone" in text_of(anna.get(result))
    assert f"Undo import {result.rpartition('/')[2]}" in text_of(anna.get("/imports"))
    work()
    assert store().last_order_day() is None
    assert anna.get(ordered).location == result
    assert "Undone" in text_of(anna.get(result))
    assert anna.get(f"{result}/undo").status_code == 404


def test_a_polish_file_is_read_and_what_it_changes_is_shown(app: Flask, desk: Callable[[str], Desk]) -> None:
    anna = desk("operations")
    page = anna.upload("customers", "klienci.csv", POLISH)
    assert "Windows-1250 (ą ć ę ł ż): for instance Żółć i Spółka" in text_of(anna.get(page))
    anna.act(page, "take")
    work()
    first = anna.get(f"{page}/progress").location
    page = anna.upload("customers", "klienci.csv", POLISH.replace("Łódź".encode("cp1250"), b"Zgierz"))
    anna.act(page, "take")
    work()
    result = anna.get(f"{page}/progress").location
    told = text_of(anna.get(result))
    assert "taken over 1 of these, changed 1 unchanged 1 refused 0" in told
    assert "Żółć i Spółka C1 City Łódź → Zgierz" in told
    refused = anna.post(f"{first}/undo", "/imports", {}).location
    work()
    assert f"Undo import {result.rpartition('/')[2]} first" in text_of(anna.get(refused))
    anna.post(f"{result}/undo", f"{result}/undo", {})
    work()
    assert db.session.scalar(sa.select(Customer.city).where(Customer.ref == "C1")) == "Łódź"

    page = anna.upload("customers", "klienci.csv", POLISH)
    anna.act(page, "take")
    work()
    assert anna.get(f"{page}/progress").location == page
    assert "All of it is in the base already: nothing was changed" in text_of(anna.get(page))


def test_a_first_look_reads_the_beginning_of_a_large_file_and_says_so(
    sqlite_app: Flask, desk: Callable[[str], Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "BEGINNING", 1_000)
    anna = desk("operations")
    # 1,000 bytes hold the header (9) and 62 whole lines of 16; the fault stands behind them
    lines = "".join(f"C{n:04d};Nome {n:04d}\n" for n in range(199)) + "C0000;Twice\n"
    for content in (f"ref;name\n{lines}".encode(), gzip.compress(f"ref;name\n{lines}".encode())):
        page = anna.upload("customers", "tanti.csv", content)
        assert "the first 62 rows of a file of" in text_of(anna.get(page))
        assert "C0000 Nome 0000" in text_of(anna.get(page))
        anna.act(page, "try")
        work()
        assert "would be taken over 199 of these, changed 0 unchanged 0 refused 1" in text_of(anna.get(page))
    monkeypatch.setattr(preview, "MOST_READ", 7)
    table = tmp_path / "a.parquet"
    duckdb.sql("SELECT range AS ref, 'Rossi' AS name FROM range(9)").write_parquet(str(table))
    page = anna.upload("customers", "a.parquet", table.read_bytes())
    assert "the first 7 rows of a file of 0.0 MB" in text_of(anna.get(page)), "what Python reads is bounded too"


def test_what_was_said_of_a_header_is_proposed_for_the_next_file_with_it(
    app: Flask, desk: Callable[[str], Desk]
) -> None:
    clock.travel(clock.now().replace(year=2026, month=3, day=3))
    anna = desk("operations")
    lines = b"X1;X2;Wann;Wieviel\nC1;A1;03/04/2025;1.500\n"
    page = anna.upload("orders", "a.csv", lines)
    assert text_of(anna.get(page)).count("This is needed: choose the column it stands in.") == 4
    refused = anna.act(page, "take")
    assert refused.status_code == 400
    chosen = {"column.customer_ref": "X1", "column.order_ref": "X2", "column.ordered_on": "Wann",
              "column.amount": "Wieviel", "decimal": "point", "days": "month"}  # fmt: skip
    again = anna.act(page, "look", **chosen)
    assert "4 Mar 2025 1.500" in text_of(again)
    assert 'value="month" selected' in again.text
    anna.act(page, "take", **chosen)
    work()
    assert store().last_order_day() == date(2025, 3, 4)
    (entry,) = db.session.scalars(sa.select(ColumnMap))
    assert (entry.actor, entry.reading) == ("operations@example.com", {"decimal": "point", "days": "month"})

    page = anna.upload("orders", "b.csv", lines.replace(b"A1", b"A2"))
    seen = anna.get(page)
    assert "Read as last time, by operations@example.com on 3 Mar 2026." in text_of(seen)
    assert filled(seen.text)["column.amount"] == "Wieviel"
    assert "4 Mar 2025 1.500" in text_of(seen)


def test_a_workbook_is_read_sheet_by_sheet(sqlite_app: Flask, desk: Callable[[str], Desk]) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["Remark", "By"])
    book.active.append(["first draft", "me"])
    sheet = book.create_sheet("Orders")
    for row in (["Customer no", "Order no", "Date", "Amount"], ["007", "A1", date(2026, 1, 2), 12.5]):
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    anna = desk("operations")
    page = anna.upload("orders", "o.xlsx", out.getvalue())
    seen = anna.act(page, "look", sheet="Orders")
    assert "007 A1 2 Jan 2026 12.50" in text_of(seen)
    anna.client.post(page, data={**filled(seen.text), "csrf_token": token_in(seen.text), "act": "take"})
    work()
    assert store().story("007")[0][0][:3] == (date(2026, 1, 2), "A1", Decimal("12.5"))


def test_a_configured_source_is_asked_and_the_same_rows_again_change_nothing(
    sqlite_app: Flask, desk: Callable[[str], Desk], tmp_path: Path
) -> None:
    path = tmp_path / "erp.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE sale (client TEXT, no TEXT, day TEXT, value REAL)")
        database.executemany(
            "INSERT INTO sale VALUES (?, ?, ?, ?)", [("1", "A", "2026-01-02", 1.5), ("2", "B", "2026-01-03", 2)]
        )
    query = "SELECT client AS customer_ref, no AS order_ref, day AS ordered_on, value AS amount FROM sale"
    source = Source(url=f"sqlite:///{path}", orders=query)
    settings = sqlite_app.extensions["pilot.config"]
    sqlite_app.extensions["pilot.config"] = settings.model_copy(update={"sources": {"erp": source}})
    anna = desk("operations")
    results = []
    for _ in range(2):
        page = anna.post("/imports/new", "/imports", {"kind": "orders", "source": "erp"}).location
        assert "1 A 2 Jan 2026 1.50" in text_of(anna.get(page))
        anna.act(page, "take")
        work()
        results.append(anna.get(f"{page}/progress").location)
        with closing(sqlite3.connect(path)) as database, database:  # the same rows in another order
            database.execute("UPDATE sale SET rowid = rowid + 10 WHERE no = 'A'")
    assert re.fullmatch(r"/imports/\d+", results[0])
    assert "All of it is in the base already" in text_of(anna.get(results[1]))
    refused = anna.post("/imports/new", "/imports", {"kind": "customers", "source": "erp"})
    assert refused.status_code == 400
    assert "This source has no query for such rows." in refused.text


def test_markup_in_header_cell_and_file_name_is_shown_and_does_nothing(
    sqlite_app: Flask, desk: Callable[[str], Desk]
) -> None:
    evil = "<script>alert(1)</script>"
    anna = desk("operations")
    page = anna.upload(
        "customers", "<img src=x onerror=alert(1)>.csv", f"ref;name;{evil}\n1;{evil};\n{evil * 9};x;{evil}\n".encode()
    )
    pages = [anna.get(page)]
    anna.act(page, "try")
    work()
    pages.append(anna.get(page))
    anna.act(page, "take")
    work()
    result = anna.get(f"{page}/progress").location
    pages += [anna.get(result), anna.get("/imports"), anna.get(f"{result}/undo")]
    for shown in pages:
        assert "<script>" not in shown.text
        assert "<img src=x" not in shown.text
    assert evil in text_of(pages[0]).replace(" ", "") or "&lt;script&gt;" in pages[0].text


def test_a_formula_in_a_refused_row_is_inert_in_the_download(sqlite_app: Flask, desk: Callable[[str], Desk]) -> None:
    anna = desk("operations")
    page = anna.upload("customers", "a.csv", b'ref;name;email\n1;A;a@b.example\n2;=cmd|x;"=HYPERLINK(1)"\n')
    anna.act(page, "take")
    work()
    told = anna.get(anna.get(f"{page}/progress").location + "/rejects.csv").text
    assert "'=HYPERLINK(1)" in told
    assert ",=" not in told


def test_all_or_nothing_takes_nothing_and_says_why(sqlite_app: Flask, desk: Callable[[str], Desk]) -> None:
    anna = desk("operations")
    page = anna.upload("orders", "a.csv", ITALIAN)
    anna.act(page, "take", rows="all")
    work()
    told = text_of(anna.get(page))
    assert "Nothing was taken over. a.csv, line 4: Data ordine 'ieri'" in told
    assert 'value="all" checked' in anna.get(page).text
    assert db.session.scalar(sa.select(sa.func.count(Import.id))) == 0


def test_a_file_that_cannot_be_read_says_so_and_can_be_overruled(
    sqlite_app: Flask, desk: Callable[[str], Desk]
) -> None:
    anna = desk("operations")
    page = anna.upload("customers", "a.csv", b"ref^name\n1^Rossi\n")
    assert "only one column was found" in text_of(anna.get(page))
    page = anna.upload("customers", "b.csv", "ref;name\n1;Rossi\n".encode("utf-16-le"))
    assert "it is written in UTF-16" in text_of(anna.get(page))
    assert "1 Rossi" in text_of(anna.act(page, "look", encoding="utf-16-le"))


def test_another_delimiter_lets_the_columns_be_found_anew(sqlite_app: Flask, desk: Callable[[str], Desk]) -> None:
    anna = desk("operations")
    page = anna.upload("customers", "a.csv", b"ref;name,town;city|x\n1;Rossi,Bari;Forl|y\n")
    other = filled(anna.act(page, "look", delimiter=",").text)
    assert (other["delimiter"], other["column.city"]) == (",", "")
    back = filled(anna.post(page, page, {**other, "delimiter": "", "act": "look"}).text)
    assert back["column.ref"] == "ref"


def test_an_import_waits_for_another_and_is_resumed_rather_than_begun_twice(
    app: Flask, desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = desk("operations")
    first = anna.upload("customers", "first.csv", b"ref;name\n" + b"".join(b"C%05d;N\n" % n for n in range(50)))
    second = anna.upload("customers", "second.csv", b"ref;name\nD1;Late\n")
    anna.act(first, "take")
    anna.act(second, "take")

    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pilot.customers.intake.imports._finish", killed)
        worker.work_off()
    (entry,) = db.session.scalars(sa.select(Import))
    assert (entry.state, entry.accepted) == ("running", 50)
    assert "50 of 50 rows are done." in text_of(anna.get(f"{first}/progress"))
    with lease.held(lease.folder_of(entry)):
        assert "It waits until import 1 is done." in text_of(anna.get(f"{second}/progress"))
        work()
        assert db.session.scalars(sa.select(Import.state)).all() == ["running"], "somebody is still at it"
    assert "import 1 was interrupted" in text_of(anna.get(f"{second}/progress"))
    assert "Go on with it" in text_of(anna.get("/imports/1"))
    resumed = anna.post("/imports/1/resume", "/imports/1", {})
    assert resumed.location == f"{first}/progress", "its own order is gone on with"
    work()
    rows = db.session.execute(sa.select(Import.id, Import.state, Import.accepted).order_by(Import.id)).all()
    assert rows == [(1, "done", 50), (2, "done", 1)]
    assert [anna.get(f"{page}/progress").location for page in (first, second)] == ["/imports/1", "/imports/2"]


def test_wrong_tokens_and_wrong_roles_see_nothing(sqlite_app: Flask, desk: Callable[[str], Desk]) -> None:
    anna, eva, outsider = desk("operations"), desk("viewer"), desk("agent")
    page = anna.upload("customers", "a.csv", POLISH)
    anna.act(page, "take")
    work()
    result = anna.get(f"{page}/progress").location
    for token in ("0" * 32, "../../etc", page.rpartition("/")[2][:-1], "x"):
        for path in (f"/imports/new/{token}", f"/imports/new/{token}/progress", f"/imports/new/{token}/rejects.csv"):
            assert anna.get(path).status_code == 404
    assert eva.get("/imports").status_code == eva.get(result).status_code == 200
    assert "New import" not in eva.get("/imports").text
    for path in (page, f"{page}/progress", f"{result}/undo", f"{result}/rejects.csv"):
        assert eva.get(path).status_code == 403
    assert eva.client.post("/imports/new", data={"kind": "orders"}).status_code in (400, 403)
    assert outsider.get("/imports").status_code == 403
    assert (
        anna.client.post("/imports/new", data={"kind": "orders", "file": (io.BytesIO(b"x;y"), "a.csv")}).status_code
        == 400
    )
    folders = list((sqlite_app.extensions["pilot.config"].data_dir / "uploads").iterdir())
    assert [folder.name for folder in folders] == [page.rpartition("/")[2]], "nobody else has stored anything"


def test_a_file_that_is_too_large_is_refused_beside_the_field(
    sqlite_app: Flask, desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilot.customers.views.imports.LARGEST_UPLOAD", 2 * 2**20)
    anna = desk("operations")
    token = token_in(anna.get("/imports").text)
    fitting, large = (anna.client.post("/imports/new", **multipart(token, rows)) for rows in (200_000, 400_000))
    assert fitting.status_code == 302, "more than other pages take"
    assert large.status_code == 413
    assert 'id="file-error"' in large.text
    assert len(uploads.waiting()) == 0
    assert len(list((sqlite_app.extensions["pilot.config"].data_dir / "uploads").iterdir())) == 1


def test_an_import_cut_off_at_the_terminal_is_gone_on_with_from_its_page(
    sqlite_app: Flask, desk: Callable[[str], Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "a.csv"
    path.write_bytes(POLISH)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pilot.customers.intake.imports._finish", killed)
        import_file(SYSTEM, "customers", path)
    clock.travel(clock.now() + timedelta(minutes=6))
    anna = desk("operations")
    assert "It was interrupted after 2 of 2 rows." in text_of(anna.get("/imports/1"))
    waiting = anna.post("/imports/1/resume", "/imports/1", {}).location
    assert anna.post("/imports/1/resume", "/imports/1", {}).location == waiting, "pressed twice is ordered once"
    work()
    assert anna.get(waiting).location == "/imports/1"
    assert "Taken over" in text_of(anna.get("/imports/1"))
    assert anna.client.post("/imports/1/resume").status_code == 400, "without the token of a page"


def test_changed_customers_are_shown_page_by_page(sqlite_app: Flask, desk: Callable[[str], Desk]) -> None:
    anna = desk("operations")
    for city in ("Bari", "Lecce"):
        rows = "".join(f"C{n:02d};N;{city}\n" for n in range(30))
        page = anna.upload("customers", "a.csv", f"ref;name;city\n{rows}".encode())
        anna.act(page, "take")
        work()
    first = anna.get("/imports/2")
    assert (first.text.count("Lecce"), "C24" in first.text, "C25" in first.text) == (25, True, False)
    following = re.search(r'href="(/imports/2\?after=\d+)"', first.text)
    assert following
    second = anna.get(following[1])
    assert (second.text.count("Lecce"), "C24" in second.text, "C29" in second.text) == (5, False, True)


def test_text_of_a_file_that_turns_the_direction_of_writing_turns_nothing_beside_it(
    sqlite_app: Flask, desk: Callable[[str], Desk]
) -> None:
    odd = f"{TURNED}x"
    rows = (f"ref;name;email;note{odd};other{odd}", f"C1;Rossi{odd};;a;b", f"C2;Neri{odd};no{odd};a;b")
    anna = desk("operations")
    page = anna.upload("customers", f"base{odd}", "\n".join(rows).encode())
    pages = [anna.get(page)]
    anna.act(page, "try")
    work()
    pages.append(anna.get(page))
    anna.act(page, "take")
    work()
    result = anna.get(f"{page}/progress").location
    pages += [anna.get(result), anna.get("/imports"), anna.get(f"{result}/undo")]
    found = [leaks(shown.text) for shown in pages]
    assert [turned for _, turned in found if turned] == []
    assert [seen > 0 for seen, _ in found[:3]] == [True, True, True]
    assert db.session.scalars(sa.select(Customer.name)).all() == [f"Rossi{odd}"], "it is stored as it is given"


def test_orders_told_otherwise_are_said_on_every_page_of_the_import(
    sqlite_app: Flask, desk: Callable[[str], Desk]
) -> None:
    clock.travel(clock.now().replace(year=2026, month=3, day=3))
    anna = desk("operations")
    head = "customer_ref;order_ref;ordered_on;amount\n"
    anna.act(anna.upload("orders", "a.csv", f"{head}C1;O1;2026-01-02;1000,00\n".encode()), "take")
    work()
    later = f"{head}C1;O1;2026-01-02;10,00\nC1;O2;2026-01-02;x\n"
    page = anna.upload("orders", "b.csv", later.encode())
    anna.act(page, "try")
    work()
    told = "It tells 1 order otherwise than other imports did: €1,000.00 becomes €10.00."
    assert told in text_of(anna.get(page))
    anna.act(page, "take")
    work()
    assert told in text_of(anna.get("/imports/2"))
    assert "1 told otherwise than before" in text_of(anna.get("/imports"))
    undo = text_of(anna.get("/imports/2/undo"))
    assert "1 order or touch of it is told by other imports too and counts as they tell it." in undo
    assert "1 of them is told otherwise there: €10.00 becomes €1,000.00." in undo
    refused = anna.get("/imports/2/rejects.csv").text.replace(";x\r", ";5,00\r")
    anna.act(anna.upload("orders", "c.csv", refused.encode()), "take")
    work()
    assert "Goes on with Import 2" in text_of(anna.get("/imports/3"))
    assert "Undo import 3 first" in text_of(anna.get("/imports/2/undo"))
