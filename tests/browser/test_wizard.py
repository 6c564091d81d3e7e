"""The plan page by page in a real browser: from the log-in to the seal, counted; saving by itself; on a phone and dark."""

from __future__ import annotations

import re
import tomllib

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from pilot.accounts.service import SYSTEM
from pilot.customers import service as customers
from pilot.experiments import drafts
from pilot.surveys import service as surveys
from pilot.surveys.definition import load_definition

from ..customers.adding import add
from .conftest import EMAIL, EXAMPLES, PASSWORD, Site

pytestmark = pytest.mark.browser

PAGES = ("population", "sample", "arms", "calendar", "survey", "outcomes", "size", "notice", "decision", "check")
MOST_CLICKS = 60


@pytest.fixture
def shop(site: Site) -> Site:
    """The site with two hundred small customers and a survey."""
    profile = {"revenue_year": 100.0, "activity": "active", "segment": "small"}
    add(
        *(
            {"ref": f"C{n:03d}", "name": f"Customer {n}", "email": f"c{n}@example{n}.com", "profile": profile}
            for n in range(200)
        )
    )
    customers.set_segments(SYSTEM, tomllib.loads((EXAMPLES / "segments.toml").read_text(encoding="utf-8"))["segments"])
    surveys.publish(SYSTEM, load_definition(EXAMPLES / "survey.toml"))
    return site


def begin(page: Page, shop: Site) -> int:
    """Log in and begin from a template; gives the clicks it took."""
    page.goto(shop.url + "/login")
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="New pilot").click()
    page.get_by_role("button", name="Begin with this").first.click()
    return 5  # two of them into the fields of the log-in


def test_from_log_in_to_a_sealed_plan_in_few_clicks(page: Page, shop: Site) -> None:
    clicks = begin(page, shop)
    for name in PAGES[:-1]:
        expect(page).to_have_url(re.compile(f"/plan/{name}$"))
        page.get_by_role("button", name="Next").click()
        clicks += 1
    page.get_by_role("button", name="Seal the plan").click()
    clicks += 1
    expect(page.get_by_text("Sealed").first).to_be_visible()
    assert clicks < MOST_CLICKS
    assert clicks == 15  # as docs/plan.md says


def test_what_is_typed_saves_itself_and_is_counted_anew(page: Page, shop: Site) -> None:
    begin(page, shop)
    page.get_by_label("Name").fill("The desk, tried out")
    expect(page.locator("#saved")).to_contain_text("Saved")
    expect(page.locator("[name=version]")).to_have_value("2", timeout=5000)
    page.get_by_label("Small customers").uncheck()
    expect(page.locator("#live")).to_contain_text("Choose segments", timeout=5000)
    page.get_by_label("Small customers").check()
    page.get_by_role("button", name="Next").click()  # at once: the save under way is waited for
    expect(page.get_by_role("heading", name="Sample")).to_be_visible()
    assert drafts.opened(page.url.split("/")[-3]).document["name"] == "The desk, tried out"


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_every_page_is_accessible_at_any_width(browser: Browser, shop: Site, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        locale="en",
        java_script_enabled=True,  # type: ignore[arg-type]
    )
    page = context.new_page()
    begin(page, shop)
    base = page.url.rpartition("/")[0]
    for name in PAGES:
        page.goto(f"{base}/{name}")
        found = Axe().run(page).response["violations"]
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    context.close()
