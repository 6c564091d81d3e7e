from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.customers.intake.notation import Days, Numbers, Stray


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (["1,5", "2,5", "1.234"], ["1.5", "2.5", "1234"]),
        (["1.5", "1,234"], ["1.5", "1234"]),
        (["1.234,50", "7"], ["1234.50", "7"]),
        (["1,234.50", "7"], ["1234.50", "7"]),
        (["1.234.567", "0,5"], ["1234567", "0.5"]),
        (["0,435"], ["0.435"]),  # a group of thousands never begins with 0
        (["€ 1.234,56", "-€ 3,00", "12,00 zł", "PLN 4,10"], ["1234.56", "-3.00", "12.00", "4.10"]),
        (["1 234,50", "1\u00a0234,50", "1'234,50"], ["1234.50"] * 3),
        (["(3,50)", "3,50-", "−3,50"], ["-3.50"] * 3),
        ([",5"], ["0.5"]),
        (["1’234.50", "1,234.50"], ["1234.50", "1234.50"]),
        (["- 3,00", "(€ 1.234,56)", "5,00 EUR", "1\u202f234\u202f567,5"], ["-3.00", "-1234.56", "5.00", "1234567.5"]),
    ],
)
def test_a_column_shows_how_its_numbers_are_written(column: list[str], read: list[str]) -> None:
    numbers = Numbers.detect(column, likely=".")
    assert numbers.evident
    assert [numbers.read(text) for text in column] == read


def test_a_number_that_could_be_read_two_ways_is_read_as_is_likely_and_marked() -> None:
    assert Numbers.detect(["1.234", "22"], likely=",") == Numbers(",", evident=False)
    assert Numbers.detect(["1.234", "22"], likely=".").read("1.234") == "1.234"
    assert Numbers.detect(["22", "7"], likely=",").evident
    assert not Numbers.detect(["1,5", "1.5"], likely=",").evident, "one says so, the other the opposite"


def test_one_stray_number_does_not_turn_the_reading_of_a_file() -> None:
    thousands = [f"{n}.{n}00" for n in range(1, 10)] * 11
    stray = Numbers.detect([*thousands, "12.5"], likely=",")
    assert stray == Numbers(",", evident=False, stray=Stray(1, "12.5", decides=False))
    assert stray.read("1.100") == "1100"
    assert stray.read("12.5") is None
    assert Numbers.detect([*thousands, *["12,5"] * 2], likely=",") == Numbers(",", evident=True)
    assert Numbers.detect([*thousands, *["12.5"] * 9], likely=",") == Numbers(".", evident=True)
    alone = Numbers.detect(["1.234", "12.5"], likely=",")
    assert alone == Numbers(".", evident=False, stray=Stray(1, "12.5", decides=True))


@pytest.mark.parametrize("text", ["1.2.3", "1.23.456", "1,2,3", "12.34,5"])
def test_what_is_no_number_decides_nothing(text: str) -> None:
    assert Numbers.detect(["1.234", text], likely=",") == Numbers(",", evident=False)
    assert Numbers.detect(["1.234", text], likely=".") == Numbers(".", evident=False)


def test_one_stray_day_does_not_turn_the_reading_of_a_file() -> None:
    march = [f"0{n}/03/2026" for n in (1, 2, 4, 5, 6, 7, 8, 9)] * 12
    stray = Days.detect([*march, "03/13/2026"])
    assert stray == Days("day", "dd/mm/yyyy", evident=False, stray=Stray(1, "03/13/2026", decides=False))
    assert stray.read("01/03/2026") == "2026-03-01"
    assert stray.read("03/13/2026") is None
    assert Days.detect([*march, *["03/13/2026"] * 9]) == Days("month", "mm/dd/yyyy", evident=True)
    assert Days.detect(["03/04/2026", "03/13/2026"]).stray == Stray(1, "03/13/2026", decides=True)


@pytest.mark.parametrize(
    "text",
    [
        "12.50",
        "1.23",
        "1,2,3",
        "12,50 or so",
        "٣,٥",
        "12,5e3",
        "",
        "-",
        "--1",
        "1 2,5",
        "12 34,5",
        "1.234 567,5",
        "1'23",
        "12,5%",
    ],
)
def test_a_value_against_the_column_is_refused_not_guessed(text: str) -> None:
    assert Numbers(",", evident=True).read(text) is None


@given(st.decimals(-(10**9), 10**9, places=4), st.sampled_from([",", "."]))
def test_any_amount_survives_being_written_with_groups_and_read_again(amount: Decimal, decimal: str) -> None:
    written = f"{amount:,.4f}"
    if decimal == ",":
        written = written.translate(str.maketrans(",.", ".,"))
    assert Decimal(Numbers(decimal, evident=True).read(written) or "nan") == amount


@pytest.mark.parametrize(
    ("column", "pattern", "read"),
    [
        (["2026-03-04", "2026-03-04 08:15:00", "2026-03-04T08:15:00Z"], "yyyy-mm-dd", "2026-03-04"),
        (["20260304"], "yyyymmdd", "2026-03-04"),
        (["04/03/2026", "4/3/2026 8:15", "31/12/2025"], "dd/mm/yyyy", "2026-03-04"),
        (["04.03.2026", "31.12.2025"], "dd.mm.yyyy", "2026-03-04"),
        (["3/4/2026 8:26", "12/31/2025 17:00"], "mm/dd/yyyy", "2026-03-04"),
    ],
)
def test_a_column_shows_how_its_days_are_written(column: list[str], pattern: str, read: str) -> None:
    days = Days.detect(column)
    assert str(days) == pattern
    assert days.read(column[0]) == read


def test_day_before_month_is_taken_where_nothing_decides_and_marked() -> None:
    assert Days.detect(["03/04/2026"]) == Days("day", "dd/mm/yyyy", evident=False)


def test_where_there_is_no_day_nothing_is_assumed() -> None:
    assert Days.detect([]).evident
    assert not Days.detect(["46022"]).evident


@pytest.mark.parametrize("text", ["31/02/2026", "12/31/2026", "yesterday", "1/2/26", "0000-00-00", "2026011"])
def test_what_is_no_day_is_refused(text: str) -> None:
    assert Days("day", "dd/mm/yyyy", evident=True).read(text) is None


def test_a_day_with_the_year_first_is_read_in_every_file() -> None:
    assert Days("day", "dd/mm/yyyy", evident=True).read("2026-03-04") == "2026-03-04"
