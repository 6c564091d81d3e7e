import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from werkzeug.datastructures import MultiDict

from pilot.accounts.models import AuditEntry
from pilot.accounts.service import SYSTEM, add_user
from pilot.customers.models import Customer
from pilot.db import db
from pilot.experiments import service
from pilot.experiments.models import Unit

PASSWORD = "correct horse battery"
DRAW = "/experiments/desk-2026/draw"
CEREMONY = "/experiments/desk-2026/ceremony"
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def browse(small_base):
    small_base.config["WTF_CSRF_ENABLED"] = False

    def browse(role):
        add_user(SYSTEM, f"{role}@example.com", role, PASSWORD)
        client = small_base.test_client()
        client.post("/login", data={"email": f"{role}@example.com", "password": PASSWORD})
        return client

    return browse


def test_the_draw_is_made_on_the_page_once_it_is_confirmed(browse, bring_to):
    experiment = bring_to("sealed")
    staff = browse("operations")
    page = staff.get(CEREMONY).text
    assert experiment.plan_hash in page
    assert experiment.frame_digest in page
    answer = staff.post(DRAW, data={"public_value": "3 17 22"})
    assert answer.status_code == 422
    assert 'value="3 17 22"' in answer.text  # what was typed is still there
    assert staff.post(DRAW, data={"public_value": " ", "sure": "yes"}).status_code == 422
    assert service.get("desk-2026").state == "sealed"
    assert staff.post(DRAW, data={"public_value": "3 17 22", "sure": "yes"}).status_code == 302
    db.session.expire_all()
    found = service.get("desk-2026")
    assert (found.state, found.public_value) == ("drawn", "3 17 22")
    assert found.seed in staff.get(CEREMONY).text
    assert staff.post(DRAW, data={"public_value": "4", "sure": "yes"}).status_code == 409  # no second draw


@pytest.mark.parametrize("role", ["analyst", "viewer", "agent"])
def test_only_operations_draws(browse, bring_to, role):
    bring_to("sealed")
    answer = browse(role).post(DRAW, data=MultiDict({"public_value": "3 17 22", "sure": "yes"}))
    assert answer.status_code == 403
    assert service.get("desk-2026").state == "sealed"


def test_the_page_repeats_the_draw_and_tells_of_a_touched_unit(browse, bring_to, edit):
    experiment = bring_to("drawn")
    viewer = browse("viewer")
    assert "The draw repeats: 60 customers" in viewer.post("/experiments/desk-2026/repeat").text
    unit = service.units(experiment)[0]
    edit(Unit, Unit.id == unit.id, arm="control" if unit.arm == "pilot" else "pilot")
    page = viewer.post("/experiments/desk-2026/repeat").text
    assert "The draw does not repeat: 1 difference" in page
    assert unit.ref in page


def test_the_frame_goes_to_few_and_its_going_is_recorded(browse, bring_to):
    experiment = bring_to("sealed")
    assert browse("viewer").get("/experiments/desk-2026/frame.csv").status_code == 403
    answer = browse("analyst").get("/experiments/desk-2026/frame.csv")
    assert hashlib.sha256(answer.data).hexdigest() == experiment.frame_digest
    (entry,) = db.session.query(AuditEntry).filter_by(action="frame downloaded")
    assert (entry.actor, entry.details["digest"]) == ("analyst@example.com", experiment.frame_digest)


def test_the_script_of_the_docs_repeats_the_draw_from_the_downloads_alone(browse, bring_to, tmp_path):
    experiment = bring_to("drawn")
    staff = browse("analyst")
    for name in ("draw.json", "frame.csv"):
        (tmp_path / name).write_bytes(staff.get(f"/experiments/desk-2026/{name}").data)
    script = re.search(r"```python\n(.*?)```", (CHECKOUT / "docs/draw.md").read_text(encoding="utf-8"), re.S)[1]
    (tmp_path / "repeat.py").write_text(script, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "repeat.py", "draw.json", "frame.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == [f"{unit.ref},{unit.stratum},{unit.arm}" for unit in service.units(experiment)]


def test_an_amendment_after_the_draw_does_not_change_what_the_draw_was_made_of(browse, bring_to, operator):
    drawn_from = bring_to("drawn").plan_hash
    plan = service.plan_of(service.get("desk-2026"))
    service.amend(operator, "desk-2026", "A better question", plan.model_copy(update={"question": "Cheaper?"}))
    told = json.loads(browse("viewer").get("/experiments/desk-2026/draw.json").data)
    assert told["plan_hash"] == drawn_from
    assert drawn_from in browse("analyst").get(CEREMONY).text


@pytest.mark.parametrize("state", ["draft", "sealed", "drawn", "closed", "stopped"])
def test_every_page_opens_in_every_state(browse, bring_to, state):
    bring_to(state)
    viewer = browse("viewer")
    for page in ("ceremony", "balance", "spillover"):
        assert viewer.get(f"/experiments/desk-2026/{page}").status_code == 200


def test_no_page_tells_an_arm_before_the_draw(browse, bring_to, edit):
    bring_to("sealed")
    edit(Customer, Customer.id <= 2, legal_entity="IT1")
    staff = browse("operations")
    assert "1 customer" not in staff.get("/experiments/desk-2026/spillover").text
    assert 'data-label="Service desk"' not in staff.get("/experiments/desk-2026/balance").text


def test_the_balance_page_shows_every_field_and_one_picture(browse, bring_to):
    bring_to("drawn")
    page = browse("viewer").get("/experiments/desk-2026/balance").text
    assert page.count('<img class="picture"') == 1
    assert "Region: north" in page
    assert "R-indicator" in page
