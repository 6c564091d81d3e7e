from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import duckdb
import numpy as np
import pytest

from pilot.analysis import Scale
from pilot.analysis.frames import Columns, read_evidence
from pilot.errors import InputError

ROWS = """customer,arm,score,spend,region,answer
1,control,4,10.5,north,1
2,pilot,5,0,north,0
3,control,2,3.25,south,0
4,pilot,,7.5,,1
5,,3,1,north,1
6,pilot,4,12,south,1
7,control,5,0,north,0
"""
SCORE = Columns("arm", "score", ("region",))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pilot.csv"
    path.write_text(ROWS)
    return path


def test_counts_and_moments_by_arm_and_stratum(file: Path) -> None:
    found = read_evidence(file, SCORE)
    assert (found.arms, found.strata, found.scale) == (
        ("control", "pilot"),
        ("north", "south", "unknown"),
        Scale.RATING,
    )
    assert found.levels == (2, 4, 5)
    assert found.counts is not None
    assert found.counts.tolist() == [[[0, 1, 1], [1, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 1, 0], [0, 0, 0]]]
    assert found.moments is not None
    assert found.moments.pooled(0) == pytest.approx((3, 11 / 3, 42 / 9))
    assert found.excluded == {"no value in column arm": 1, "no value in column score": 1}


def test_the_scale_is_found_from_the_values(file: Path) -> None:
    assert read_evidence(file, Columns("arm", "answer")).scale is Scale.BINARY
    money = read_evidence(file, Columns("arm", "spend"))
    assert (money.scale, money.counts) == (Scale.MONEY, None)
    assert read_evidence(file, Columns("arm", "score"), scale=Scale.MONEY).counts is None
    halves = (0, 3.25, 7.5, 10.5, 12)
    assert read_evidence(file, Columns("arm", "spend"), scale=Scale.RATING, levels=halves).levels == halves


@pytest.mark.parametrize(("scale", "remedy"), [(Scale.RATING, "--levels 1,1.5,2"), (Scale.COUNT, "the scale number")])
def test_a_rating_or_a_count_that_is_no_whole_number_is_named(file: Path, scale: Scale, remedy: str) -> None:
    with pytest.raises(
        InputError, match=rf"row \d+, column spend: 10.5 is no whole number, on the scale {scale.value}"
    ) as caught:
        read_evidence(file, Columns("arm", "spend"), scale=scale)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("cell", ["2026-01-05", "05.01.2026", "1/5/26", "2026-01-05 10:00:00"])
@pytest.mark.parametrize("column", ["outcome", "covariate"])
def test_a_date_in_place_of_a_number_is_called_one(tmp_path: Path, cell: str, column: str) -> None:
    path = tmp_path / "dates.csv"
    path.write_text(f"arm,day,csat\ncontrol,{cell},3\npilot,{cell},4\n")
    columns = Columns("arm", "day") if column == "outcome" else Columns("arm", "csat", covariates=("day",))
    with pytest.raises(
        InputError, match=r"row 2, column day: '.*' is a date, not a number\. Give the days from a fixed day"
    ):
        read_evidence(path, columns)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("column", ["y", "x"])
def test_a_number_too_large_for_the_sums_is_named(tmp_path: Path, ending: str, column: str) -> None:
    cells = {"y": "4.0", "x": "2.5"} | {column: "-1e155"}
    path = tmp_path / "huge.csv"
    rows = [f"{arm},{y},{y / 2}" for arm in ("control", "pilot") for y in (1.5, 2.5, 4.0)]
    path.write_text("\n".join(["arm,y,x", *rows, f"pilot,{cells['y']},{cells['x']}", rows[0]]) + "\n")
    if ending == "parquet":
        duckdb.sql(f"COPY (FROM read_csv('{path}')) TO '{tmp_path / 'huge.parquet'}'")
        path = tmp_path / "huge.parquet"
    row = 8 if ending == "csv" else 7
    with pytest.raises(InputError, match=rf"row {row}, column {column}: .* is too large to be squared") as refused:
        read_evidence(path, Columns("arm", "y", covariates=("x",)))
    assert "larger unit" in refused.value.remedy


@pytest.mark.parametrize("number", [1e151, -1e155, 1e300])
@pytest.mark.parametrize("more", [0, 600])
def test_a_number_too_large_is_named_whether_values_are_counted_or_summed(
    tmp_path: Path, number: float, more: int
) -> None:
    path = tmp_path / "huge.csv"
    rows = [f"control,{k}" for k in (1, 2, 3, *range(more))]
    path.write_text("\n".join(["arm,y", "pilot,4", f"pilot,{number}", *rows]) + "\n")
    with pytest.raises(InputError, match=r"row 3, column y: .* is too large to be squared and summed"):
        read_evidence(path, Columns("arm", "y"))


@pytest.mark.parametrize("kind", ["DATE '2026-01-05'", "TIMESTAMP '2026-01-05 10:00:00'", "[1, 2]", "INTERVAL 3 DAY"])
def test_a_parquet_column_of_another_type_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "typed.parquet"
    duckdb.sql(f"COPY (SELECT unnest(['control', 'pilot']) AS arm, {kind} AS day) TO '{path}'")
    with pytest.raises(InputError, match=r"row 1, column day: '.*' is (a date, not a number|not a finite number)"):
        read_evidence(path, Columns("arm", "day"))


def test_order_of_rows_delimiter_packing_and_format_do_not_matter(file: Path, tmp_path: Path) -> None:
    head, *rows = ROWS.splitlines()
    random.Random(5).shuffle(rows)
    shuffled = "\n".join([head, *rows]) + "\n"
    variants = {
        "shuffled.csv": shuffled.encode(),
        "semicolons.csv": shuffled.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
        "tabs [1] *.tsv": shuffled.replace(",", "\t").encode(),
        "packed.csv.gz": gzip.compress(ROWS.encode()),
    }
    for name, content in variants.items():
        (tmp_path / name).write_bytes(content)
    duckdb.sql(f"COPY (FROM read_csv('{file}')) TO '{tmp_path / 'typed.parquet'}'")
    digest = read_evidence(file, SCORE).digest()
    for name in (*variants, "typed.parquet"):
        assert read_evidence(tmp_path / name, SCORE).digest() == digest, name


def test_several_stratum_columns_are_crossed(file: Path) -> None:
    found = read_evidence(file, Columns("arm", "score", ("region", "answer")))
    assert found.strata == ("north / 0", "north / 1", "south / 0", "south / 1", "unknown / 1")


def test_moments_equal_numpy_s(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    values, arms = 1e6 + rng.lognormal(3, 1.5, 5000), rng.integers(0, 2, 5000)
    path = tmp_path / "money.csv"
    path.write_text(
        "arm,y\n" + "".join(f"{('control', 'pilot')[a]},{float(y)!r}\n" for a, y in zip(arms, values, strict=True))
    )
    moments = read_evidence(path, Columns("arm", "y")).moments
    assert moments is not None
    for arm in (0, 1):
        mine = values[arms == arm]
        assert (moments.n[arm, 0], moments.mean[arm, 0]) == (len(mine), pytest.approx(mine.mean(), rel=1e-14))
        assert moments.m2[arm, 0] == pytest.approx(((mine - mine.mean()) ** 2).sum(), rel=1e-9)


@pytest.mark.parametrize(
    ("column", "control", "message"),
    [
        ("spnd", None, "there is no column 'spnd'. Did you mean 'spend'? Columns: customer, arm"),
        ("region", None, "row 2, column region: 'north' is not a finite number"),
        ("score", "nobody", "column arm: no row has the arm 'nobody'. Arms: control, pilot."),
    ],
)
def test_errors_name_column_row_and_remedy(file: Path, column: str, control: str | None, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_evidence(file, Columns("arm", column), control=control)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("value", ["NaN", "inf", "-Infinity", "1e999", "n/a", "3,5", "yes"])
def test_a_value_that_is_no_finite_number_is_named(tmp_path: Path, value: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(f'arm;y\ncontrol;1\npilot;2\n\ncontrol;3\npilot;"{value}"\n'.replace("\n\n", "\n"))
    with pytest.raises(InputError, match="row 5, column y") as caught:
        read_evidence(path, Columns("arm", "y"))
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("arm,y\na,1\nb,2\n", "it is not clear which arm is control. Name it with --control. Arms: a, b"),
        ("arm,y\ncontrol,1\nControl,2\n", "it is not clear which arm is control"),
        ("arm,y\ncontrol,1\n", "all rows are in the arm 'control'"),
        ("arm,y\n", "there is no row with an arm"),
        ("", "there is no column 'arm'"),
        ("arm,y,y\ncontrol,1,2\n", "two columns are called 'y'"),
        ("arm,y\ncontrol,1\npilot,1,2\n", "the file cannot be read"),
        ("arm,y\n" + "".join(f"customer {k},1\n" for k in range(60)), "60 different values, more than the 50 arms"),
    ],
)
def test_files_that_cannot_be_compared_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "file.csv"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_evidence(path, Columns("arm", "y"))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("polish.csv", "arm;y;kto\ncontrol;1;Łódź\n".encode("cp1250")),
        ("book.csv", b"PK\x03\x04\x14\x00\x06\x00\xff\xfe"),
        ("packed.csv.gz", b"not packed at all"),
        ("rows.parquet", b"not parquet"),
        ("missing.csv", None),
    ],
)
def test_files_of_another_kind_are_refused_by_name(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_evidence(path, Columns("arm", "y"))
    assert caught.value.place == str(path)
    assert caught.value.remedy


def test_a_yes_or_no_column_holds_nothing_else(file: Path) -> None:
    with pytest.raises(InputError, match="row 2, column score: 4 is neither 0 nor 1"):
        read_evidence(file, Columns("arm", "score"), scale=Scale.BINARY)


@pytest.mark.parametrize("outcome", ["spend", "visit", "conversion"])
def test_hillstrom_arms_as_published(shared_data: Path, outcome: str) -> None:
    facts = json.loads((shared_data / "reference_facts.json").read_text())["hillstrom"]["by_arm"]
    found = read_evidence(
        shared_data / "hillstrom" / "hillstrom.csv.gz", Columns("segment", outcome), control="No E-Mail"
    )
    assert found.moments is not None
    name = {"spend": "spend_per_customer", "visit": "visit_rate", "conversion": "conversion_rate"}[outcome]
    for place, arm in enumerate(found.arms):
        n, mean, _ = found.moments.pooled(place)
        assert (n, round(mean, 6)) == (facts[arm]["n"], facts[arm][name])
