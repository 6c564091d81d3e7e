"""The report as HTML and as PDF, from material made by hand."""

import base64
import builtins
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from pypdf import PdfReader

from pilot.analysis import NotEnoughData
from pilot.errors import MissingLibrary
from pilot.plugins.manager import plugins
from pilot.reports import decision, document, pdf
from pilot.reports.material import Material

Make = Callable[..., Material]


def words(html: str) -> str:
    """What a reader reads of a document, in one line; every space is a plain one."""
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<head>.*?</head>", "", html)).split())


def test_the_report_begins_with_the_verdict_and_its_numbers(sqlite_app: Flask, make_material: Make) -> None:
    text = words(document.write(make_material()))
    verdict = text.index(
        "Roll out: “Satisfaction” is not worse by more than the agreed margin, and “Cost to serve” is lower."
    )
    assert verdict < text.index("−€23.70") < text.index("What to do next") < text.index("Flow of customers")
    assert "95% interval −0.26 to +0.10" in text
    assert f"under the hash {make_material().plan_hash[:12]}" in text


def test_numbers_and_dates_are_written_in_the_language_of_the_report(sqlite_app: Flask, make_material: Make) -> None:
    italian = words(document.write(make_material(language="it")))
    assert "−23,70 €" in italian
    assert "14.872" in italian
    assert "24 lug 2026" in italian
    polish = words(document.write(make_material(language="pl")))
    assert "14 872" in polish
    assert "24 lip 2026" in polish


def test_the_flow_names_every_loss(sqlite_app: Flask, make_material: Make) -> None:
    text = words(document.write(make_material()))
    for loss in ("−7 could not be delivered", "−1 delivery uncertain", "−342 did not answer", "−12 stopped half-way"):
        assert loss in text
    assert "−6 left the question empty" in text  # 234 complete, 228 rated


def test_text_from_people_is_never_markup_and_never_endless(sqlite_app: Flask, make_material: Make) -> None:
    nasty = "<script>alert(1)</script><img src=file:///etc/passwd>"
    plan = make_material().plan
    arms = (plan.arms[0], plan.arms[1].model_copy(update={"label": nasty}))
    outcomes = (
        plan.outcomes[0].model_copy(update={"label": nasty * 9, "margin_reason": "y" * 9000}),
        *plan.outcomes[1:],
    )
    made = make_material(company=nasty)
    html = document.write(
        replace(
            made,
            plan=plan.model_copy(update={"arms": arms, "outcomes": outcomes, "name": nasty, "question": "z" * 9000}),
        )
    )
    assert "<script" not in html
    assert "<img src=file" not in html
    assert "y" * 400 not in html
    assert "z" * 400 not in html


def test_a_section_that_fails_says_so_and_the_rest_stands(
    sqlite_app: Flask, make_material: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, material: Material) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(plugins().get("report_sections", "flow"), "context", fail)
    text = words(document.write(make_material()))
    assert "The section “flow” of plugin “sections” could not be written." in text
    assert "Decision rule" in text


def test_without_any_answer_the_report_says_why(sqlite_app: Flask, make_material: Make) -> None:
    made = make_material()
    nothing = NotEnoughData("non-inferiority", "csat", "pilot", "nobody answered in control")
    results = (replace(made.results[0], found=nothing), *made.results[1:])
    conditions = [decision.not_worse("csat", nothing, 0.75), decision.cheaper("cost", made.results[1].found)]
    verdict = decision.overall([decision.judge("pilot", conditions)], 0.95)
    text = words(document.write(replace(made, results=results, decision=verdict)))
    assert "There was too little data on “Satisfaction”: nobody answered in control." in text
    assert "nan" not in text.lower().split()


def test_every_picture_has_a_text_alternative_with_its_numbers(sqlite_app: Flask, make_material: Make) -> None:
    html = document.write(make_material())
    pictures = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)">', html)
    assert len(pictures) == html.count("<img") == 4
    for data, alt in pictures:
        assert base64.b64decode(data).decode().count("<svg") == 1
        assert re.search(r"[−+€]?\d", alt)


def test_the_pdf_is_tagged_titled_and_the_same_twice(sqlite_app: Flask, make_material: Make) -> None:
    html = document.write(make_material(language="pl"))
    written = pdf.render(html)
    assert pdf.render(document.write(make_material(language="pl"))) == written
    reader = PdfReader(io.BytesIO(written))
    root: Any = reader.trailer["/Root"]
    assert root["/Lang"] == "pl"
    assert root["/MarkInfo"]["/Marked"]
    assert "pdfuaid" in root["/Metadata"].get_data().decode()
    assert reader.metadata is not None
    assert str(reader.metadata.title).startswith("Service desk instead of field visits")
    assert str(reader.metadata.creation_date_raw).startswith("D:20260724")
    assert "1 / " + str(len(reader.pages)) in reader.pages[0].extract_text()
    assert "Service desk instead of field visits" in reader.pages[1].extract_text()


def test_a_report_reads_nothing_from_disk_or_network(sqlite_app: Flask, tmp_path: Any) -> None:
    secret = tmp_path / "secret.svg"
    secret.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>')
    fetch = pdf.fetcher()
    for address in (secret.as_uri(), "http://127.0.0.1:9/x.png", "asset:../../wsgi.py", "ftp://127.0.0.1/x"):
        with pytest.raises(ValueError, match="disallowed protocol"):
            fetch(address)
    assert fetch("asset:report.css").read()
    assert fetch("data:text/plain,hello").read() == b"hello"


def test_without_pango_the_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def no_pango(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pango)
    with pytest.raises(MissingLibrary) as caught:
        pdf.render("<p>hello")
    assert "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0" in caught.value.remedy
