"""The pages about customers in a real browser: on a phone and on a laptop, light and dark, without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from pilot.accounts.service import SYSTEM, Actor, add_user
from pilot.customers.people import completion
from pilot.customers.people.listing import ListQuery

from ..customers.adding import add
from .conftest import EMAIL, PASSWORD, Site

pytestmark = pytest.mark.browser

OPERATOR = Actor(EMAIL, frozenset({"operations"}))


@pytest.fixture
def shop(site: Site) -> Site:
    """The site with sixty customers, a work list, and somebody outside to work it."""
    add(
        *(
            {
                "ref": f"C{n:02d}",
                "name": f"Przedsiębiorstwo Handlowo-Usługowe {n}",
                "city": ("Łódź", None)[n % 2],
                "email": None if n % 3 else f"c{n}@example{n}.com",
                "legal_entity": "IT 01" if n < 3 else None,
                "profile": {"revenue_year": 10.0 * n, "activity": "slowing", "last_order": date(2026, 2, 1)},
            }
            for n in range(60)
        )
    )
    completion.build(OPERATOR, ("email", "phone", "language"), ListQuery())
    add_user(SYSTEM, "outside@example.com", "outsourced", PASSWORD)
    return site


def window(browser: Browser, site: Site, email: str, **settings: object) -> BrowserContext:
    """A window of somebody who has logged in."""
    context = browser.new_context(locale="en", **settings)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(site.url + "/login")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_load_state()
    return context


def check(page: Page) -> None:
    """Nothing that axe finds, and nothing wider than the screen."""
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


@pytest.fixture(params=[(390, "dark"), (1440, "light")], ids=["phone-dark", "laptop-light"])
def desk(request: pytest.FixtureRequest, browser: Browser, shop: Site) -> Iterator[Page]:
    width, scheme = request.param
    context = window(browser, shop, EMAIL, viewport={"width": width, "height": 800}, color_scheme=scheme)
    yield context.pages[0]
    context.close()


def test_list_story_and_progress_are_accessible_at_any_width(desk: Page, shop: Site) -> None:
    desk.goto(f"{shop.url}/customers?search=prze&revenue_from=-1")
    expect(desk.locator("tbody tr")).to_have_count(50)
    for fold in desk.locator("details").all():
        fold.locator("summary").click()
    check(desk)
    for path in ("/customers/3", "/completion", "/customers/duplicates"):
        desk.goto(shop.url + path)
        check(desk)
    desk.get_by_role("button", name="Look for duplicates").click()
    expect(desk.locator("tbody tr")).to_have_count(3)
    check(desk)


def test_the_list_is_used_without_javascript(browser: Browser, shop: Site) -> None:
    context = window(browser, shop, EMAIL, java_script_enabled=False, viewport={"width": 1440, "height": 900})
    page = context.pages[0]
    page.get_by_role("link", name="Customers", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("60")
    expect(page.locator("tbody tr").first).to_contain_text("C59")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("tbody tr")).to_have_count(10)
    expect(page.locator("tbody tr").last).to_contain_text("C00")
    page.get_by_role("link", name="Previous page").click()
    page.get_by_role("link", name="Name").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Name")
    page.get_by_role("searchbox").fill("C07")
    page.get_by_role("button", name="Show").first.click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Handlowo-Usługowe 7").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Handlowo-Usługowe 7")
    context.close()


def test_somebody_outside_completes_a_customer_on_a_phone(browser: Browser, shop: Site) -> None:
    context = window(browser, shop, "outside@example.com", viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = context.pages[0]
    expect(page.get_by_role("navigation", name="Main navigation").get_by_role("link")).to_have_text(["Completion"])
    check(page)
    page.get_by_role("button", name="I have read this").click()
    page.get_by_role("button", name="Next customer").click()
    expect(page.get_by_role("heading", level=2)).to_have_text("Przedsiębiorstwo Handlowo-Usługowe 59")
    page.get_by_label("E-mail").fill("no address")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("This is not an e-mail address.")).to_be_visible()
    check(page)
    page.get_by_label("E-mail").fill("biuro@phu59.example")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("still missing")
    page.get_by_text("It is not possible", exact=True).click()
    page.get_by_label("Why it is not possible").fill("hung up")
    check(page)
    page.get_by_role("button", name="Give up on this customer").click()
    expect(page.get_by_role("heading", level=2)).to_have_text("Przedsiębiorstwo Handlowo-Usługowe 58")
    context.close()
