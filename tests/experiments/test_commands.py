import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
from flask.cli import ScriptInfo

from pilot.customers.models import Customer
from pilot.errors import CheckFailed, PlanError
from pilot.experiments import service
from pilot.experiments.commands import experiment, replay
from pilot.experiments.models import Unit

KEY = "desk-2026"
DRAW_PAGE = Path(__file__).resolve().parents[2] / "docs" / "draw.md"


@pytest.fixture
def run(small_base):
    """Run a command and return what it printed on stdout; its errors come through."""
    runner = small_base.test_cli_runner(catch_exceptions=False)

    def run(command, *arguments):
        done = runner.invoke(command, arguments, obj=ScriptInfo(create_app=lambda: small_base), standalone_mode=False)
        if done.exception:
            raise done.exception
        return done.stdout

    return run


def test_an_experiment_is_made_sealed_drawn_notified_and_replayed_from_the_terminal(run, document, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(tomli_w.dumps(document), encoding="utf-8")
    assert "desk-2026 is a draft" in run(experiment, "create", str(path))
    sealed = run(experiment, "seal", KEY)
    assert service.get(KEY).plan_hash in sealed
    assert service.get(KEY).frame_digest in sealed
    assert "60 of 200 customers are drawn" in run(experiment, "draw", KEY, "--public-value", "3 17 22")
    assert run(experiment, "notify", KEY) == "60 notices queued.\n"
    assert "nothing is added" in run(experiment, "notify", KEY)
    assert "The draw repeats: 60 customers" in run(replay, KEY)
    assert "desk-2026 is stopped" in run(experiment, "stop", KEY, "--reason", "No staff")


def test_a_plan_file_with_a_fault_is_refused_with_file_and_key(run, document, tmp_path):
    document["analyses"][1]["analysis"]["part"] = "welsh"
    path = tmp_path / "my plan.toml"
    path.write_text(tomli_w.dumps(document), encoding="utf-8")
    with pytest.raises(PlanError, match=re.escape("my plan.toml: analyses[1].analysis.part")):
        run(experiment, "create", str(path))


def test_show_tells_the_plan_in_words_and_the_draw_by_stratum_and_arm(run, bring_to):
    drawn = bring_to("drawn")
    text = run(experiment, "show", KEY)
    words = " ".join(text.split())
    for said in (
        "Customers of segment small on 31 March 2026",
        "60 customers, in strata by region",
        "from 1 April 2026 to 30 June 2026",
        "Roll out if satisfaction is not worse than in control by 0.25 or more and cost is lower than in control",
        drawn.plan_hash,
        drawn.frame_digest,
        "drawn 1 April 2026, 09:00 UTC",
    ):
        assert said in words
    rows = [line.split() for line in text.splitlines() if line.startswith(("north", "south", "east", "unknown"))]
    assert [row[0] for row in rows] == ["east", "north", "south", "unknown"]
    assert sum(int(row[1]) for row in rows) == 200
    assert text.splitlines()[-1].split() == ["Together", "200", "60", "30", "30"]


@pytest.mark.parametrize("state", ["draft", "sealed", "rolled_out", "stopped"])
def test_show_works_in_every_state(run, bring_to, state):
    bring_to(state)
    assert state.replace("_", " ") in run(experiment, "show", KEY)


def test_lists_and_facts_come_as_one_json_document(run, bring_to):
    assert json.loads(run(experiment, "list", "--json")) == []
    bring_to("drawn")
    assert [item["key"] for item in json.loads(run(experiment, "list", "--json"))] == [KEY]
    shown = json.loads(run(experiment, "show", KEY, "--json"))
    assert shown["plan"]["sampling"]["size"] == 60
    assert sum(layer["pilot"] for layer in shown["strata"]) == 30
    assert json.loads(run(replay, KEY, "--json")) == {"key": KEY, "equal": True, "units": 60, "differences": []}


def test_a_replay_that_differs_prints_the_differences_and_fails(small_base, bring_to, edit):
    bring_to("drawn")
    edit(Unit, Unit.arm == "pilot", arm="control")
    info = ScriptInfo(create_app=lambda: small_base)
    runner = small_base.test_cli_runner()
    done = runner.invoke(replay, [KEY], obj=info, standalone_mode=False)
    assert isinstance(done.exception, CheckFailed)
    assert done.exception.exit_code == 1
    assert done.stdout.count("stored control, drawn again pilot") == 20
    assert "… and 10 more" in done.stdout
    done = runner.invoke(replay, [KEY, "--json"], obj=info, standalone_mode=False)
    assert isinstance(done.exception, CheckFailed)
    assert len(json.loads(done.stdout)["differences"]) == 30


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.55, 0.25, 0.2)])
def test_the_script_in_the_documentation_repeats_a_real_draw(run, bring_to, document, edit, tmp_path, shares):
    edit(Customer, Customer.ref == "C0007", ref='Ü "7", srl')
    document["name"] = "Próba łódzka"
    document["sampling"] = {"size": 61, "strata": ["region", "revenue_band"]}
    document["arms"] = [
        {"key": key, "label": key, "channel": "field-rep", "share": share}
        for key, share in zip(("control", "pilot", "other"), shares, strict=False)
    ]
    drawn = bring_to("drawn")
    script = re.search(r"```python\n(.*?)```", DRAW_PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "repeat.py").write_text(script, encoding="utf-8")
    (tmp_path / "experiment.json").write_text(run(experiment, "show", KEY, "--json"), encoding="utf-8")
    frame = tmp_path / "data" / "frames" / f"{drawn.frame_digest}.csv"
    command = [sys.executable, "-I", "repeat.py", "experiment.json", str(frame)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert done.stderr == ""
    repeated = [tuple(row) for row in csv.reader(done.stdout.splitlines())]
    assert repeated == [(unit.ref, unit.stratum, unit.arm) for unit in service.units(drawn)]
