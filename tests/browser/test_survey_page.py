"""The answer page in a real browser: by keyboard, without JavaScript, on a small phone, and under axe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from pilot import clock
from pilot.accounts.service import SYSTEM
from pilot.db import db
from pilot.surveys import service
from pilot.surveys.definition import load_definition
from pilot.surveys.models import Response

from ..surveys.conftest import EXAMPLE, World, make_world
from .conftest import Site

pytestmark = pytest.mark.browser

ANSWERS = {
    "csat": 4,
    "nps": 0,
    "service": {"reach": 5, "reply": 1, "understanding": 3, "promises": 4},
    "channel": {"option": "phone"},
    "comment": "Żółta łódź",
}


@dataclass(frozen=True)
class Street:
    """Where customers live: their links on a site that answers."""

    site: Site
    world: World

    def link(self, ref: str) -> str:
        return self.site.url + self.world.link(ref)


@pytest.fixture
def street(site: Site) -> Iterator[Street]:
    """A running survey whose links lead to the live site."""
    with clock.travelling(datetime(2026, 7, 1, 9, tzinfo=UTC)):
        world = make_world(load_definition(EXAMPLE))
        service.open_wave(SYSTEM, "desk")
        yield Street(site, world)


def _open(browser: Browser, **settings: Any) -> Page:
    context = browser.new_context(**{"viewport": {"width": 390, "height": 800}, "locale": "en", **settings})
    page = context.new_page()
    page.set_default_timeout(15_000)
    return page


def _kept() -> dict[str, Any]:
    db.session.rollback()
    response = db.session.scalars(sa.select(Response)).one()
    assert response.completed_at is not None
    return response.answers


def _pick(page: Page, field: str, value: str) -> None:
    page.locator(f'label:has(input[name="{field}"][value="{value}"])').click()


def test_a_survey_is_answered_by_taps_without_javascript(street: Street, browser: Browser) -> None:
    page = _open(browser, java_script_enabled=False, has_touch=True)
    page.goto(street.link("C0"))
    page.get_by_role("button", name="Next").click()
    assert page.locator("#csat-error").inner_text().endswith("Please answer this question.")
    _pick(page, "csat", "4")
    _pick(page, "nps", "0")
    page.get_by_role("button", name="Next").click()
    for row, level in ANSWERS["service"].items():  # type: ignore[attr-defined]
        _pick(page, f"service.{row}", str(level))
    _pick(page, "channel", "phone")
    page.get_by_label("What could we do better?").fill("Żółta łódź")
    page.get_by_role("button", name="Send answers").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Thank you"
    page.reload()
    page.go_back()
    assert _kept() == ANSWERS
    page.context.close()


def test_a_survey_is_answered_by_keyboard_alone(street: Street, browser: Browser) -> None:
    page = _open(browser)
    page.goto(street.link("C0"))
    press = page.keyboard.press

    def choose(field: str, steps: int) -> None:
        """Tab into a group and move on by arrows; the first arrow press from an empty group picks the second."""
        _tab_to(page, field)
        press("Space")
        for _ in range(steps):
            press("ArrowRight")

    choose("csat", 3)
    choose("nps", 0)
    press("Enter")
    page.wait_for_url("**page=2")
    for row, level in ANSWERS["service"].items():  # type: ignore[attr-defined]
        choose(f"service.{row}", level - 1)
    choose("channel", 1)
    _tab_to(page, "comment")
    page.keyboard.insert_text("Żółta łódź")
    press("Tab")
    press("Enter")
    page.wait_for_url("**/thanks")
    assert _kept() == ANSWERS
    page.context.close()


def _tab_to(page: Page, field: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            "(() => { const it = document.activeElement, face = it.nextElementSibling ?? it;"
            "  const style = getComputedStyle(it.type === 'radio' ? face : it);"
            "  return {name: it.name ?? '', outline: parseFloat(style.outlineWidth), style: style.outlineStyle} })()"
        )
        assert focus["style"] != "none", f"the focus cannot be seen on {focus['name']!r}"
        assert focus["outline"] >= 2
        if focus["name"] == field:
            return
    pytest.fail(f"{field} cannot be reached by Tab")


@pytest.mark.parametrize(
    ("language", "width", "scheme"), [("en", 320, "light"), ("it", 1440, "dark"), ("pl", 320, "dark")]
)
def test_axe_finds_nothing_in_any_state(
    street: Street, browser: Browser, language: str, width: int, scheme: str
) -> None:
    page = _open(browser, viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page.goto(f"{street.site.url}/s/wrong?lang={language}")
    _check(page)
    page.goto(f"{street.link('C0')}?lang={language}")
    page.locator("button").click()
    _check(page)
    _pick(page, "csat", "5")
    page.locator("button").click()
    _pick(page, "service.reach", "5")
    page.locator("textarea").fill("x" * 1001)
    page.locator("button").click()
    _check(page)
    page.locator("textarea").fill("")
    page.locator("button").click()
    _check(page)
    page.context.close()


def _check(page: Page) -> None:
    """No violation of WCAG 2.2 AA nor of good practice, and nothing wider than the screen."""
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("zoom", [1, 2])
def test_everything_can_be_hit_with_a_thumb_on_the_smallest_phone(street: Street, browser: Browser, zoom: int) -> None:
    page = _open(browser, viewport={"width": 320, "height": 640})
    page.goto(street.link("C2"))
    page.evaluate(f"document.documentElement.style.fontSize = '{100 * zoom}%'")
    boxes = page.locator("label.cell, a, button").evaluate_all(
        "all => all.map(it => it.getBoundingClientRect()).map(box => Math.min(box.width, box.height))"
    )
    assert len(boxes) == 5 + 11 + 3 + 1
    assert min(boxes) >= 44
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.context.close()


def test_the_page_is_one_request_and_leaves_no_cookie(street: Street, browser: Browser) -> None:
    page = _open(browser)
    asked: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(street.link("C0"), wait_until="networkidle")
    assert [url for url in asked if not url.startswith("data:")] == [street.link("C0")]
    assert messages == []
    assert page.context.cookies() == []
    assert page.locator("h1").evaluate("it => getComputedStyle(it).fontSize") == "28px"  # the style sheet is obeyed
    page.context.close()
