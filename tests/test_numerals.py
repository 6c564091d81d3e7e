"""Numbers typed into pages: the notations of three languages, and what is none."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask_babel import force_locale
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.numerals import plainly, read_number, reading
from pilot.web import money, number


@pytest.mark.parametrize(
    "typed",
    [
        "1250,5", "1250.5", "1 250,5", "1\u00a0250,50", "1\u202f250,50", "1.250,50", "1,250.50", "1'250.50", "1’250,5",
        " 1250.50 ", "1 250,50 €", "EUR 1250,5", "+1250.5",
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", ["en", "it", "pl"])
def test_what_can_be_read_only_one_way_is_read_so_in_every_language(
    sqlite_app: Flask, typed: str, language: str
) -> None:
    with sqlite_app.test_request_context(), force_locale(language):
        assert read_number(typed) == 1250.5
        assert reading(typed) is None


@pytest.mark.parametrize(
    ("language", "typed", "value", "told"),
    [
        ("en", "1.500", 1.5, "1.5"),
        ("en", "1,500", 1500.0, "1,500.00"),
        ("it", "1.500", 1500.0, "1.500,00"),
        ("it", "1,500", 1.5, "1,5"),
        ("pl", "1.500", 1500.0, "1\u00a0500,00"),
        ("pl", "-1,500", -1.5, "−1,5"),
    ],
)
def test_what_can_be_read_either_way_is_read_by_the_language_and_said(
    sqlite_app: Flask, language: str, typed: str, value: float, told: str
) -> None:
    with sqlite_app.test_request_context(), force_locale(language):
        assert read_number(typed) == value
        assert reading(typed) == told


@pytest.mark.parametrize(
    ("typed", "value"),
    [("1.500.000", 1_500_000), ("1 500 000", 1_500_000), ("1500", 1500), ("0.500", 0.5), ("-3", -3), ("−3,5", -3.5)],
)
def test_more_notations(sqlite_app: Flask, typed: str, value: float) -> None:
    with sqlite_app.test_request_context(), force_locale("pl"):
        assert read_number(typed) == value


@pytest.mark.parametrize(
    "typed",
    ["", "abc", "nan", "inf", "1e3", "1 50", "12 34", "1.50.000", "1,2,3", "1.2,3.4", "1--2", "- ", ".", "1 250.50,1",
     "1 5,00 0", "٣", "1.250 500,0", "9" * 16, "5%"],
)  # fmt: skip
def test_what_is_no_number_is_refused(sqlite_app: Flask, typed: str) -> None:
    with (
        sqlite_app.test_request_context(),
        force_locale("it"),
        pytest.raises(ValueError, match=re.escape(typed) or None),
    ):
        read_number(typed)


@pytest.mark.parametrize("language", ["en", "it", "pl"])
def test_pages_read_what_pages_print_and_addresses_tell(sqlite_app: Flask, language: str) -> None:
    @settings(max_examples=30, deadline=None)
    @given(st.integers(-(10**10), 10**10))
    def check(thousandths: int) -> None:
        value = thousandths / 1000
        cents = round(value, 2)
        assert read_number(number(value, 4)) == value
        assert read_number(money(cents)) == cents
        assert read_number(plainly(value)) == value

    with sqlite_app.test_request_context(), force_locale(language):
        check()
