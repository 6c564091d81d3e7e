"""Staff's pages in a real browser: looked at, operated by keyboard, and checked for accessibility by axe."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from .conftest import Site

pytestmark = pytest.mark.browser

PAGES = ("/", "/experiments/winback-2026", "/experiments/inside-2026", "/experiments/desk-2026", "/experiments/nowhere")


@pytest.fixture(scope="session")
def ticket(staged: Site, browser: Browser) -> dict[str, object]:
    """The cookies of somebody who has logged in."""
    context = browser.new_context(locale="en")
    _log_in(context.new_page(), staged)
    state = context.storage_state()
    context.close()
    return dict(state)


@pytest.fixture
def desk(browser: Browser, ticket: dict[str, object]) -> Iterator[Page]:
    """A window of somebody who has logged in, on a laptop."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en", storage_state=ticket)  # type: ignore[arg-type]
    yield context.new_page()
    context.close()


def _log_in(page: Page, site: Site) -> None:
    page.goto(site.url + "/login")
    page.get_by_label("E-mail address").fill(site.email)
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(site.url + "/")


def test_staff_log_in_read_a_pilot_and_log_out_by_keyboard_alone(staged: Site, page: Page) -> None:
    page.goto(staged.url + "/experiments/desk-2026")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type(staged.email)
    page.keyboard.press("Tab")
    page.keyboard.type(staged.password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Service desk instead of field visits")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    while page.evaluate("document.activeElement.textContent.trim()") != "Log out":
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement !== document.body"), "the log-out cannot be reached"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(staged.url + "/login")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_the_policy_blocks_nothing(staged: Site, desk: Page, scheme: str) -> None:
    complaints: list[str] = []
    desk.on("console", lambda message: complaints.append(message.text))
    desk.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path in PAGES:
        desk.goto(staged.url + path)
        found = Axe().run(desk).response["violations"]
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == [], path
    assert [text for text in complaints if "404" not in text] == []


def test_axe_finds_nothing_before_the_log_in(staged: Site, page: Page) -> None:
    page.goto(staged.url + "/login")
    assert Axe().run(page).response["violations"] == []
    page.get_by_label("E-mail address").fill("somebody@example.com")
    page.get_by_label("Password").fill("guess")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("The address or the password is not right")
    assert Axe().run(page).response["violations"] == []


@pytest.mark.parametrize("language", ["en", "it", "pl"])
@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_everything_stays_in_its_place_at_any_width(staged: Site, desk: Page, width: int, language: str) -> None:
    desk.set_viewport_size({"width": width, "height": 800})
    for path in PAGES:
        desk.goto(f"{staged.url}{path}?lang={language}")
        assert desk.evaluate("document.documentElement.scrollWidth") <= width, path
        outside = desk.locator(".panel").evaluate_all(
            "panels => panels.flatMap(panel => [...panel.querySelectorAll('*')].filter(it => "
            "  it.getBoundingClientRect().right > panel.getBoundingClientRect().right).map(it => it.outerHTML))"
        )
        assert outside == [], path


def test_the_list_says_where_every_pilot_stands_and_what_comes_next(staged: Site, desk: Page) -> None:
    desk.goto(staged.url + "/")
    rows = desk.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("Service desk instead of field visits")
    expect(rows.nth(0).get_by_role("listitem")).to_have_text(["Field rep, as today 20", "Service desk 20"])
    expect(rows.filter(has_text="winback-2026")).to_contain_text("Read the plan once more and seal it")
    expect(rows.filter(has_text="inside-2026")).to_contain_text("25.0%")
    desk.get_by_role("link", name="Inside sales for the south").click()
    expect(
        desk.get_by_role("listitem").filter(has_text="Running").and_(desk.locator("[aria-current=step]"))
    ).to_be_visible()


def test_results_stay_closed_until_the_pilot_is_closed(staged: Site, desk: Page) -> None:
    desk.goto(staged.url + "/experiments/inside-2026")
    expect(desk.get_by_role("heading", name="Answers")).to_be_visible()
    for word in ("Results", "Decision", "Report (PDF)"):
        expect(desk.get_by_text(word, exact=True)).to_have_count(0)
    refused = desk.request.get(staged.url + "/experiments/inside-2026/report.pdf")
    assert refused.status == 409
    assert "results stay closed" in refused.text().lower()


def test_a_decided_pilot_shows_decision_results_flow_and_the_report(staged: Site, desk: Page) -> None:
    desk.goto(staged.url + "/experiments/desk-2026")
    expect(desk.locator(".verdict-word")).to_contain_text("Inconclusive")
    recommend = desk.locator(".results tr").filter(has_text="Would recommend us").first
    expect(recommend.locator("td")).to_contain_text(["7.82", "7.82", "0.00"])  # 17 answers: 6, 7, 8, 9, 10, 6, ...
    answered = desk.locator(".flow tr").filter(has_text="Answered")
    expect(answered).to_contain_text("17")
    expect(answered).to_contain_text("85.0%")
    address = f"{staged.url}/experiments/desk-2026/report.pdf?lang=it"
    report = desk.request.get(address, timeout=120_000)  # a busy machine is slow to load the layout library
    assert report.headers["content-type"] == "application/pdf"
    assert report.body().startswith(b"%PDF-")


def test_the_sealed_plan_can_be_fetched_and_has_the_hash_that_is_shown(staged: Site, desk: Page) -> None:
    import hashlib

    desk.goto(staged.url + "/experiments/desk-2026")
    shown = desk.locator("dt:has-text('Plan hash') + dd code").get_attribute("title")
    plan = desk.request.get(staged.url + "/experiments/desk-2026/plan.json").body()
    assert hashlib.sha256(plan).hexdigest() == shown


def test_the_language_can_be_changed_on_every_page(staged: Site, page: Page) -> None:
    page.goto(staged.url + "/login")
    for name, code in (("Italiano", "it"), ("Polski", "pl"), ("English", "en")):
        page.get_by_role("button", name=name).click()
        expect(page.locator("html")).to_have_attribute("lang", code)


def test_the_first_page_of_a_new_site_says_what_to_do_first(site: Site, page: Page) -> None:
    _log_in(page, site)
    expect(page.get_by_role("heading", name="No pilot yet")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
