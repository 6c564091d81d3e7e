"""How figures read in each language. Expected texts follow CLDR's patterns, with a true minus sign."""

import pytest
from flask import Flask
from flask_babel import force_locale

from pilot.analysis import Evidence, Scale
from pilot.reports import wording
from pilot.reports.wording import Figures

pytestmark = pytest.mark.usefixtures("sqlite_app")


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


@pytest.mark.parametrize(
    ("language", "scale", "value", "expected"),
    [
        ("en", Scale.RATING, 4.054, "4.05"),
        ("it", Scale.RATING, 4.054, "4,05"),
        ("en", Scale.BINARY, 0.3817, "38.2%"),
        ("pl", Scale.BINARY, 0.3817, "38,2%"),
        ("en", Scale.MONEY, 1240.333, "€1,240.33"),
        ("it", Scale.MONEY, 1240.333, "1.240,33 €"),
        ("pl", Scale.MONEY, 12402.5, "12 402,50 €"),
        ("en", Scale.COUNT, None, "–"),
    ],
)
def test_an_arms_own_figure(language: str, scale: Scale, value: float | None, expected: str) -> None:
    with force_locale(language):
        assert plain(Figures(scale).value(value)) == expected


@pytest.mark.parametrize(
    ("scale", "value", "expected"),
    [
        (Scale.RATING, 0.054, "+0.05"),
        (Scale.RATING, -0.05, "-0.05"),
        (Scale.RATING, -0.0004, "0.00"),
        (Scale.RATING, 0.0004, "0.00"),
        (Scale.MONEY, -23.7, "-€23.70"),
        (Scale.MONEY, 5.0, "+€5.00"),
        (Scale.BINARY, -0.0125, "-1.2 pp"),
        (Scale.BINARY, 0.0001, "0.0 pp"),
    ],
)
def test_a_difference_always_has_its_sign(scale: Scale, value: float, expected: str) -> None:
    with force_locale("en"):
        assert plain(Figures(scale).difference(value)) == expected


def test_an_open_interval_says_so() -> None:
    figures = Figures(Scale.RATING)
    with force_locale("en"):
        assert plain(figures.interval(-0.17, 0.07)) == "-0.17 to +0.07"
        assert plain(figures.interval(-0.17, None)) == "above -0.17"
        assert plain(figures.interval(None, 0.07)) == "below +0.07"


def test_a_score_with_a_wide_span_has_one_decimal() -> None:
    score = Evidence.from_counts("nps", Scale.RATING, ("control", "pilot"), (-100, 0, 100), [[[1, 1, 1]], [[1, 1, 1]]])
    with force_locale("en"):
        assert Figures.of(score).value(23.456) == "23.5"


@pytest.mark.parametrize(
    ("p", "expected"), [(0.04567, "0.046"), (0.00432, "0.0043"), (1e-9, "< 0.0001"), (0.0, "< 0.0001"), (None, "–")]
)
def test_a_p_value_is_never_zero(p: float | None, expected: str) -> None:
    with force_locale("en"):
        assert wording.p_value(p) == expected


def test_free_text_becomes_one_short_line(app: Flask) -> None:
    assert wording.short("Two\nlines\x00 and\u202e a turn", 40) == "Two lines and a turn"
    assert wording.short("x" * 50, 10) == "x" * 9 + "…"
