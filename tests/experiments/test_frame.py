import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.errors import CheckFailed, InputError
from pilot.experiments import frame as frames

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ROWS = st.dictionaries(TEXT, TEXT, min_size=1, max_size=30)
STEADY = settings(deadline=None, derandomize=True)


def test_a_frame_file_has_one_form():
    frame = frames.build([("b", "north"), ("ä", 'say "hi"'), ("a,1", "north"), ("B", "line\nbreak")])
    assert frames.to_csv(frame).decode() == ('ref,stratum\nB,"line\nbreak"\n"a,1",north\nb,north\nä,"say ""hi"""\n')


@STEADY
@given(ROWS)
def test_a_frame_survives_its_file(rows):
    frame = frames.build(rows.items())
    again = frames.from_csv(frames.to_csv(frame))
    assert again.refs == frame.refs == tuple(sorted(rows, key=str.encode))
    assert again.labels == frame.labels
    assert np.array_equal(again.strata, frame.strata)
    assert frames.to_csv(again) == frames.to_csv(frame)


@STEADY
@given(ROWS)
def test_any_csv_reader_reads_a_frame_file(rows):
    read = list(csv.reader(io.StringIO(frames.to_csv(frames.build(rows.items())).decode(), newline="")))
    assert read[0] == ["ref", "stratum"]
    assert dict(read[1:]) == rows


def test_a_ref_that_stands_twice_is_refused():
    with pytest.raises(InputError, match="'C1' stands in the frame twice"):
        frames.build([("C1", "north"), ("C2", "north"), ("C1", "south")])


def test_a_stored_frame_is_found_under_its_digest_and_storing_it_again_changes_nothing(tmp_path: Path):
    data = frames.to_csv(frames.build([("a", "north"), ("b", "south")]))
    name = frames.store(tmp_path / "frames", data)
    assert frames.store(tmp_path / "frames", data) == name
    assert [path.name for path in (tmp_path / "frames").iterdir()] == [f"{name}.csv"]
    assert frames.to_csv(frames.fetch(tmp_path / "frames", name)) == data


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(lambda path: path.unlink(), "cannot be read"), (lambda path: path.write_bytes(b"ref,stratum\n"), "was changed")],
)
def test_a_frame_file_that_is_gone_or_changed_is_noticed(tmp_path: Path, damage, reason):
    name = frames.store(tmp_path, frames.to_csv(frames.build([("a", "north")])))
    damage(tmp_path / f"{name}.csv")
    with pytest.raises(CheckFailed, match=reason):
        frames.fetch(tmp_path, name)


def test_the_difference_of_two_frames_counts_who_joined_left_and_moved():
    before = frames.build([("a", "north"), ("b", "north"), ("c", "south")])
    after = frames.build([("b", "south"), ("c", "south"), ("d", "north"), ("e", "north")])
    assert frames.difference(before, after) == (2, 1, 1)
