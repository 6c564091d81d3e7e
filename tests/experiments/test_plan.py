import hashlib
import json
import re
from copy import deepcopy
from pathlib import Path

import pytest
import tomli_w

from pilot.errors import InputError, PlanError
from pilot.experiments.plan import Plan, canonical, from_canonical, load_toml, plan_hash

PLAN = """
key = "desk-2026"
name = "Service desk instead of field visits"
survey = "satisfaction"

[population]
segments = ["small"]
as_of = 2026-03-31

[sampling]
size = 600
strata = ["region"]

[[arms]]
key = "control"
label = "Field rep, as today"
channel = "field-rep"
share = 0.5

[[arms]]
key = "pilot"
label = "Service desk"
channel = "service-desk"
share = 0.5

[calendar]
start = 2026-04-01
end = 2026-07-01
survey_until = 2026-07-22

[[outcomes]]
key = "satisfaction"
label = "Overall satisfaction"
source = { part = "survey-score", settings = { question = "csat" } }
margin = 0.25
margin_reason = "Less is not felt"

[[outcomes]]
key = "cost"
label = "Cost to serve"
source = { part = "cost-to-serve" }
higher_is_better = false

[[analyses]]
outcome = "satisfaction"
analysis = { part = "non-inferiority", settings = { margin = 0.25 } }

[[analyses]]
outcome = "cost"
analysis = { part = "welch" }

[decision]
not_worse = "satisfaction"
cheaper = "cost"
"""

SAME_PLAN = """
# The same plan, written by somebody else.
survey = 'satisfaction'
name = '''Service desk instead of field visits'''
"key" = "desk-2026"
decision = { cheaper = "cost", not_worse = "satisfaction", level = 0.950 }
analyses = [
    { analysis = { settings = { "margin" = 25e-2 }, part = "non-inferiority" }, outcome = "satisfaction" },
    { outcome = "cost", analysis.part = "welch" },
]
sampling.strata = ["region"]
sampling.size = 0x258
sampling.design = { part = "stratified" }
calendar = { survey_until = 2026-07-22, end = 2026-07-01, start = 2026-04-01 }
population = { as_of = 2026-03-31, segments = ["small"] }
arms = [
    { share = 0.5, channel = "field-rep", label = "Field rep, as today", key = "control" },
    { share = 5.0e-1, channel = "service-desk", label = "Service desk", key = "pilot" },
]

[[outcomes]]
label = "Overall satisfaction"
key = "satisfaction"
margin = 0.25
margin_reason = "Less is not felt"
source.part = "survey-score"
source.settings.question = "csat"

[[outcomes]]
label = "Cost to serve"
key = "cost"
higher_is_better = false
source.part = "cost-to-serve"
"""


def changed(*changes: tuple[str, str]) -> str:
    text = PLAN
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def test_the_same_plan_in_another_layout_has_the_same_bytes_and_hash():
    first, second = load_toml(PLAN), load_toml(SAME_PLAN)
    assert canonical(first).encode() == canonical(second).encode()
    assert plan_hash(first) == plan_hash(second) == hashlib.sha256(canonical(first).encode()).hexdigest()


def test_canonical_text_is_compact_sorted_utf8_json_with_iso_dates():
    text = canonical(load_toml(changed(("Service desk instead", "Serwis zamiast żółtych aut"))))
    document = json.loads(text)
    assert text == json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert "żółtych" in text
    assert document["calendar"] == {"start": "2026-04-01", "end": "2026-07-01", "survey_until": "2026-07-22"}


def test_any_change_of_meaning_changes_the_hash():
    hashes = {
        plan_hash(load_toml(PLAN)),
        plan_hash(load_toml(changed(("end = 2026-07-01", "end = 2026-07-02")))),
        plan_hash(load_toml(changed(("settings = { margin = 0.25 }", "settings = { margin = 0.26 }")))),
        plan_hash(load_toml(changed(('strata = ["region"]', "strata = []")))),
    }
    assert len(hashes) == 4


def test_a_stored_plan_is_read_back_as_it_was():
    plan = load_toml(PLAN)
    assert from_canonical(canonical(plan), "here") == plan


@pytest.mark.parametrize(
    ("changes", "place", "reason", "remedy"),
    [
        ([("size = 600", "size = 600\nstratta = []")], "sampling.stratta", "there is no such key", "'strata'"),
        ([("size = 600\n", "")], "sampling.size", "this key is missing", "Add it"),
        ([("size = 600", 'size = "many"')], "sampling.size", "'many' cannot be used here", "a whole number"),
        ([("size = 600", "size = 600.5")], "sampling.size", "600.5 cannot be used here", "a whole number"),
        ([("size = 600", "size = 1")], "sampling.size", "1 is out of range", "greater than 1"),
        ([("as_of = 2026-03-31", 'as_of = "March"')], "population.as_of", "'March' cannot be used", "a date such as"),
        ([("segments = [", "segments = []\nx = [")], "population.x", "there is no such key", "segments"),
        ([('segments = ["small"]', "segments = []")], "population.segments", "the list is too short", "at least 1"),
        ([('key = "pilot"', 'key = "Pilot 1"')], "arms[1].key", "'Pilot 1' holds signs", "lower case"),
        ([('label = "Service desk"', 'label = "a\\nb"')], "arms[1].label", "holds signs", "on one line"),
        ([('label = "Service desk"', 'label = " "')], "arms[1].label", "cannot be used here", "that is not empty"),
        ([("margin = 0.25\n", "margin = inf\n")], "outcomes[0].margin", "inf cannot be used here", "a finite number"),
        (
            [("settings = { margin = 0.25 }", "settings = { margin = nan }")],
            "analyses[0].analysis.settings",
            "finite",
            "",
        ),
        ([("margin = 0.25\n", 'margin = 0.25\nrole = "main"\n')], "outcomes[0].role", "'main' is none of", "'primary'"),
        ([('key = "control"', 'key = "field"')], "arms[0].key", "the first arm is 'field'", "control"),
        ([('key = "pilot"', 'key = "control"')], "arms[1].key", "a second time", "Remove one"),
        ([("start = 2026-04-01", "start = 2026-03-30")], "calendar.start", "lies before population.as_of", "order"),
        ([("end = 2026-07-01", "end = 2026-03-31")], "calendar.end", "lies before calendar.start", "order"),
        ([("end = 2026-07-01", "end = 2026-04-01")], "calendar.end", "a single day", "after calendar.start"),
        ([("until = 2026-07-22", "until = 2026-06-30")], "calendar.survey_until", "before calendar.end", "order"),
        ([('key = "cost"', 'key = "satisfaction"')], "outcomes[1].key", "a second time", "Remove one"),
        ([('outcome = "cost"', 'outcome = "costs"')], "analyses[1].outcome", "no outcome 'costs'", "'cost'"),
        ([('cheaper = "cost"', 'cheaper = "cots"')], "decision.cheaper", "no outcome 'cots'", "'cost'"),
        ([('outcome = "cost"', 'outcome = "satisfaction"')], "decision.cheaper", "no analysis", "outcome = 'cost'"),
        ([("margin = 0.25\n", "")], "outcomes[0].margin", "has no margin", "how much worse"),
        (
            [('margin_reason = "Less is not felt"\n', "")],
            "outcomes[0].margin_reason",
            "needs a reason",
            "in a sentence",
        ),
        ([("higher_is_better = false", "")], "outcomes[1].higher_is_better", "higher is better", "= false"),
        ([('strata = ["region"]', 'strata = ["region", "region"]')], "sampling.strata[1]", "second time", "Remove"),
        ([("[decision]", "[notice.de]\nsubject = 'a'\nbody = 'b'\n[decision]")], "notice.de", "'de' is none", "'en'"),
        (
            [("[decision]", "[notice.en]\nsubject = 'Dear {name}'\nbody = 'b'\n[decision]")],
            "notice.en.subject",
            "unknown placeholder {name}",
            "{customer}, {company}, {until}",
        ),
        (
            [("[decision]", "[notice.it]\nsubject = 's'\nbody = '{company.__class__}'\n[decision]")],
            "notice.it.body",
            "unknown placeholder {company.__class__}",
            "{company}",
        ),
        (
            [("[decision]", "[notice.pl]\nsubject = 's'\nbody = '{company!r:>10}'\n[decision]")],
            "notice.pl.body",
            "unknown placeholder {company!r:>10}",
            "{company}",
        ),
        ([("[decision]", "[notice.pl]\nsubject = 's'\nbody = '{'\n[decision]")], "notice.pl.body", "partner", "{{"),
    ],
)
def test_a_fault_is_named_with_key_reason_and_remedy(changes, place, reason, remedy):
    with pytest.raises(PlanError) as caught:
        load_toml(changed(*changes), place="plan.toml")
    assert caught.value.place == f"plan.toml: {place}"
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_shares_that_do_not_sum_to_one_are_refused_with_the_share_that_would_do():
    document = Plan.model_validate(load_toml(PLAN)).model_dump(mode="json")
    document["arms"][1]["share"] = 0.4
    with pytest.raises(PlanError) as caught:
        load_toml(tomli_w.dumps(_without_none(document)), place="plan.toml")
    assert str(caught.value) == (
        "plan.toml: arms[1].share: the shares of the arms sum to 0.9, not to 1. "
        "Write 0.5 here, or change the shares so that together they make 1."
    )


def test_shares_written_as_rounded_decimals_are_one_when_their_decimals_are():
    document = load_toml(PLAN).model_dump()
    document["arms"] = [deepcopy(document["arms"][0]) | {"key": key} for key in ("control", *"abcdefghi")]
    for arm in document["arms"]:
        arm["share"] = 0.1  # ten binary tenths do not add up to one
    assert len(Plan.model_validate(document).arms) == 10


def test_an_arm_too_small_to_compare_is_refused():
    document = load_toml(PLAN).model_dump()
    document["sampling"]["size"] = 40
    document["arms"][0]["share"], document["arms"][1]["share"] = 0.97, 0.03
    with pytest.raises(PlanError, match="would get 1 of 40 customers") as caught:
        Plan.model_validate(document)
    assert caught.value.place == "arms[1].share"


def test_further_faults_are_counted():
    with pytest.raises(PlanError, match=r"there is no such key \(2 more faults in this file\)"):
        load_toml(changed(("size = 600", "sise = 600"), ("end = 2026-07-01", 'end = "x"')))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('key = "a"\nname = \n', "line 2, column 8"),
        ("key = 'a'\nkey = 'b'", "line 2, column 10"),  # reported at the end of the document
        ("key == 'a'", "line 1, column 6"),
        ("arms = [\n  { key = 'a' },\n", "line 2, column 17"),
    ],
)
def test_text_that_is_not_toml_is_refused_with_line_and_column(text, where):
    with pytest.raises(PlanError) as caught:
        load_toml(text, place="plan.toml")
    assert caught.value.place == f"plan.toml: {where}"
    assert caught.value.reason.startswith("this is not TOML: ")


def test_a_plan_is_read_from_a_file_with_or_without_byte_order_mark(tmp_path: Path):
    path = tmp_path / "plan.toml"
    path.write_text("\ufeff" + PLAN, encoding="utf-8")
    assert load_toml(path) == load_toml(PLAN)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("key = 'żółw'".encode("cp1250"), "not text in UTF-8"),
        (b"PK\x03\x04\xff\xfe", "not text in UTF-8"),
        (b"", "this key is missing"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content, reason):
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=re.escape(reason)) as caught:
        load_toml(path)
    assert "plan.toml" in caught.value.place


def test_a_file_that_does_not_exist_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read: No such file") as caught:
        load_toml(tmp_path / "none.toml")
    assert caught.value.place == str(tmp_path / "none.toml")


def _without_none(value):
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
