"""The way of a file through the pages in a real browser on a phone, in the dark."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from pilot.customers.intake import worker

from .conftest import Site

pytestmark = pytest.mark.browser

ORDERS = (
    "Codice cliente;Numero ordine;Data ordine;Importo netto;Annotazioni_interne_del_commerciale_senza_spazi\n"
    "C1;A1;31/12/2025;1.234,50;Città\nC2;A2;ieri;3,00;\n"
).encode("cp1252")


def check(page: Page) -> None:
    """Nothing that axe finds, and nothing wider than the screen."""
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def test_a_file_is_uploaded_tried_taken_over_and_undone_on_a_phone(browser: Browser, site: Site) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark", locale="en")
    page = context.new_page()
    page.goto(f"{site.url}/login?next=/imports")
    page.get_by_label("E-mail address").fill(site.email)
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("Choose a file.")).to_be_visible()
    page.get_by_label("Orders", exact=True).check()
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "ordini.csv", "mimeType": "text/csv", "buffer": ORDERS}
    )
    check(page)
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_label("Amount *")).to_have_value("Importo netto")
    page.locator("summary").click()
    check(page)
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("It is being tried")
    check(page)
    while worker.work_off():
        pass
    expect(page.get_by_role("heading", name="This is what would happen")).to_be_visible()  # the page looks by itself
    check(page)
    page.get_by_role("button", name="Take it over").click()
    while worker.work_off():
        pass
    expect(page.get_by_role("heading", name="Refused rows")).to_be_visible()
    check(page)
    page.get_by_role("link", name="Undo …").click()
    check(page)
    page.get_by_role("button", name="Undo it").click()
    expect(page.get_by_role("heading", name="It is being undone")).to_be_visible()
    check(page)
    while worker.work_off():
        pass
    expect(page.get_by_text("Undone", exact=True)).to_be_visible()
    context.close()
