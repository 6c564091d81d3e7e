import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from threading import Barrier, Thread

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pilot import clock, config
from pilot.accounts.service import Actor, trail
from pilot.api import Allocation, AssignmentDesign, Sample, SamplingDesign, hookimpl
from pilot.customers.models import Customer, CustomerProfile, Segment
from pilot.customers.service import keep_current
from pilot.db import db, transaction
from pilot.errors import CheckFailed, Forbidden, InputError, NotFound, PlanError, PluginError, StateError
from pilot.events import Event
from pilot.experiments import frame as frames
from pilot.experiments import service
from pilot.experiments.models import STATES, Experiment, Unit
from pilot.experiments.plan import Plan, canonical
from pilot.mail.models import OutboxMessage
from pilot.plugins.manager import plugins

KEY = "desk-2026"
PUBLIC = "3 17 22 41 56 88"


def plan_of(document):
    return Plan.model_validate(document)


class Observer:
    def __init__(self):
        self.seen: list[Event] = []

    @hookimpl
    def on_event(self, event):
        self.seen.append(event)


def test_a_draft_is_kept_and_a_draft_of_the_same_key_replaces_it(base, operator, document):
    service.create(operator, plan_of(document))
    document["name"] = "Another name"
    service.create(operator, plan_of(document))
    found = service.all_experiments()
    assert [(item.key, item.name, item.state) for item in found] == [(KEY, "Another name", "draft")]
    assert [entry.action for entry in trail(f"experiment:{KEY}")] == ["created", "revised"]


def test_the_kept_plan_spells_out_the_settings_of_every_part(small_base, operator, document):
    plan = service.plan_of(service.create(operator, plan_of(document)))
    assert plan.sampling.design.settings == {"minimum_per_stratum": 0}
    assert plan.outcomes[0].source.settings["question"] == "csat"
    assert plan.analyses[1].analysis.settings == plugins().get("analyses", "welch")().settings()


@pytest.mark.parametrize(
    ("change", "place", "reason", "remedy"),
    [
        (lambda d: d["population"].update(segments=["smal"]), "population.segments[0]", "no segment 'smal'", "'small'"),
        (lambda d: d["sampling"].update(strata=["regoin"]), "sampling.strata[0]", "'regoin'", "'region'"),
        (lambda d: d["sampling"].update(design={"part": "strat"}), "sampling.design.part", "'strat'", "stratified"),
        (
            lambda d: d["sampling"].update(design={"part": "stratified", "settings": {"minimum_per_stratum": -1}}),
            "sampling.design.settings.minimum_per_stratum",
            "greater than or equal to 0",
            "",
        ),
        (lambda d: d.update(assignment={"part": "dice"}), "assignment.part", "'dice'", "stratified-blocks"),
        (lambda d: d["arms"][1].update(channel="service-desc"), "arms[1].channel", "'service-desc'", "'service-desk'"),
        (
            lambda d: d["outcomes"][1]["source"].update(part="costs"),
            "outcomes[1].source.part",
            "'costs'",
            "cost-to-serve",
        ),
        (
            lambda d: d["analyses"][1]["analysis"].update(part="welsh"),
            "analyses[1].analysis.part",
            "'welsh'",
            "'welch'",
        ),
        (
            lambda d: d["analyses"][1]["analysis"].update(settings={"levle": 0.9}),
            "analyses[1].analysis.settings.levle",
            "no setting 'levle'",
            "level",
        ),
        (
            lambda d: d["analyses"][0]["analysis"].update(settings={"margin": 0.5}),
            "analyses[0].analysis.settings.margin",
            "0.5 is not that of outcome 'satisfaction', 0.25",
            "same margin",
        ),
    ],
)
def test_a_plan_that_does_not_fit_the_installation_is_refused_with_its_key(
    small_base, operator, document, change, place, reason, remedy
):
    change(document)
    with pytest.raises(PlanError) as caught:
        service.create(operator, plan_of(document), place="plan.toml")
    assert caught.value.place == f"plan.toml: {place}"
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy
    assert service.all_experiments() == []


def test_the_seal_freezes_plan_survey_version_and_frame_under_their_hashes(base, bring_to):
    sealed = bring_to("sealed")
    plan = service.plan_of(sealed)
    assert (plan.survey_version, plan.survey_digest) == (3, "5" * 64)
    assert sealed.plan == canonical(plan)
    assert sealed.frame_size == 200
    path = config.current().data_dir / "frames" / f"{sealed.frame_digest}.csv"
    assert frames.digest(path.read_bytes()) == sealed.frame_digest
    assert path.read_text().splitlines()[:2] == ["ref,stratum", "C0001,south"]


def test_a_sample_larger_than_its_frame_is_refused_with_its_key(small_base, bring_to, document):
    document["sampling"]["size"] = 201
    with pytest.raises(PlanError, match="201 customers are to be drawn, but only 200 are eligible") as caught:
        bring_to("sealed")
    assert caught.value.place == "plan of desk-2026: sampling.size"
    assert service.get(KEY).state == "draft"


def test_a_plan_that_could_not_be_drawn_is_not_sealed(small_base, bring_to, document):
    document["sampling"]["design"] = {"part": "stratified", "settings": {"minimum_per_stratum": 16}}
    with pytest.raises(InputError, match="4 strata with at least 16 each need 64 customers, but only 60 are drawn"):
        bring_to("sealed")
    assert service.get(KEY).state == "draft"


def test_a_plan_is_not_sealed_without_its_survey_or_profile(small_base, bring_to, document, edit):
    document["survey"] = "other"
    with pytest.raises(PlanError, match="there is no survey 'other'"):
        bring_to("sealed")
    document["survey"], document["survey_version"] = "satisfaction", 2
    with pytest.raises(PlanError, match="asks for version 2 of survey 'satisfaction', the newest is 3"):
        bring_to("sealed")
    del document["survey_version"]
    edit(CustomerProfile, CustomerProfile.customer_id > 0, as_of=sa.func.date("2026-03-30"))
    with pytest.raises(PlanError, match="the profiles stand as of 2026-03-30, not as of 2026-03-31"):
        bring_to("sealed")


def test_nothing_in_a_sealed_plan_changes_any_more(small_base, bring_to, operator, document):
    bring_to("sealed")
    document["name"] = "Another name"
    with pytest.raises(StateError, match="is sealed: nothing in its plan changes any more"):
        service.create(operator, plan_of(document))
    assert service.get(KEY).name == "Service desk instead of field visits"


def test_a_sealed_plan_that_was_edited_is_not_read(base, bring_to, operator, edit):
    sealed = bring_to("sealed")
    edit(Experiment, Experiment.key == KEY, plan=sealed.plan.replace('"margin":0.25', '"margin":0.75', 1))
    with pytest.raises(CheckFailed, match="not the one that was sealed"):
        service.plan_of(service.get(KEY))
    with pytest.raises(CheckFailed, match="not the one that was sealed"):
        service.draw(operator, KEY, PUBLIC)
    assert service.get(KEY).state == "sealed"


def test_the_draw_gives_exact_arms_balanced_in_every_stratum(base, bring_to):
    drawn = bring_to("drawn")
    units = service.units(drawn)
    assert [unit.ref for unit in units] == sorted(unit.ref for unit in units)
    assert Counter(unit.arm for unit in units) == {"control": 30, "pilot": 30}
    layers = service.layers(drawn)
    assert sum(layer.population for layer in layers) == 200
    for layer in layers:
        assert abs(sum(layer.assigned.values()) - 60 * layer.population / 200) < 1
        assert abs(layer.assigned["control"] - layer.assigned["pilot"]) <= 1
        chance = {unit.inclusion_probability for unit in units if unit.stratum == layer.label}
        assert chance == {sum(layer.assigned.values()) / layer.population}
    assert {unit.arm_probability for unit in units} == {0.5}


def test_the_seed_follows_from_plan_frame_and_public_value(small_base, bring_to):
    drawn = bring_to("drawn")
    text = f"{drawn.plan_hash}|{drawn.frame_digest}|{PUBLIC}"
    assert drawn.seed == hashlib.sha256(text.encode()).hexdigest()


def test_a_draw_is_made_once(base, bring_to, operator):
    first = service.units(bring_to("drawn"))
    with pytest.raises(StateError, match="is drawn"):
        service.draw(operator, KEY, "another value")
    assert service.units(service.get(KEY)) == first


def test_of_two_draws_at_once_one_is_refused(base, bring_to, operator):
    bring_to("sealed")
    db.session.rollback()
    together, outcomes = Barrier(2), []

    def draw(value):
        with base.app_context():
            together.wait()
            try:
                service.draw(operator, KEY, value)
                outcomes.append("drawn")
            except StateError:
                outcomes.append("refused")
            finally:
                db.session.remove()

    threads = [Thread(target=draw, args=(value,)) for value in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["drawn", "refused"]
    assert len(service.units(service.get(KEY))) == 60
    assert service.replay(KEY).equal


@pytest.mark.parametrize("value", ["", "  ", "two\nlines", "x" * 201])
def test_a_public_value_nobody_could_look_up_is_refused(small_base, bring_to, operator, value):
    bring_to("sealed")
    with pytest.raises(InputError, match="the public value is empty, too long or not on one line"):
        service.draw(operator, KEY, value)


def test_a_frame_that_changed_after_the_seal_is_refused_with_the_difference(base, bring_to, operator, edit, join):
    bring_to("sealed")
    join(201, 3)
    edit(Customer, Customer.ref.in_(["C0001", "C0002"]), email=None)
    edit(Customer, Customer.ref == "C0003", region="west")
    with pytest.raises(CheckFailed, match="3 joined the frame, 2 left it, 1 changed in what the draw looks at"):
        service.draw(operator, KEY, PUBLIC)
    assert service.get(KEY).state == "sealed"
    assert service.units(service.get(KEY)) == []


def test_a_replay_of_an_untouched_draw_is_equal_even_after_the_base_has_changed(base, bring_to, join):
    bring_to("drawn")
    join(201, 10)
    assert service.replay(KEY) == service.ReplayResult(True, [], 60)


def test_a_replay_lists_every_unit_that_was_touched(base, bring_to, edit, operator):
    units = service.units(bring_to("drawn"))
    swapped, moved, weighted = units[0], units[1], units[2]
    other = {"control": "pilot", "pilot": "control"}[swapped.arm]
    edit(Unit, Unit.id == swapped.id, arm=other)
    edit(Unit, Unit.id == moved.id, stratum="nowhere")
    edit(Unit, Unit.id == weighted.id, arm_probability=0.5000000001)
    outside = db.session.scalars(
        sa.select(Customer).where(Customer.id.not_in([unit.customer_id for unit in units])).order_by(Customer.id)
    ).first()
    edit(Unit, Unit.id == units[3].id, customer_id=outside.id)
    found = service.replay(KEY)
    assert not found.equal
    assert sorted(found.differences) == sorted(
        [
            f"customer {swapped.ref}: arm stored {other}, drawn again {swapped.arm}",
            f"customer {moved.ref}: stratum stored nowhere, drawn again {moved.stratum}",
            f"customer {weighted.ref}: arm probability stored 0.5000000001, drawn again 0.5",
            f"customer {units[3].ref}: drawn again, but not stored",
            f"customer {outside.ref}: stored, but not drawn again",
        ]
    )


@pytest.mark.parametrize(
    ("values", "difference"),
    [
        ({"seed": "0" * 64}, "the stored seed does not follow"),
        ({"algorithm": "dice/1"}, "drawn with dice/1, repeated with philox-keys/2"),
        ({"public_value": "another"}, "the stored seed does not follow"),
        ({"plan": "{}"}, "the stored plan is not the one that was sealed"),
        ({"frame_digest": "0" * 64}, "the frame's file cannot be read"),
    ],
)
def test_a_replay_notices_a_changed_origin(small_base, bring_to, edit, values, difference):
    bring_to("drawn")
    edit(Experiment, Experiment.key == KEY, **values)
    found = service.replay(KEY)
    assert not found.equal
    assert difference in found.differences[0]


def test_a_frame_file_that_was_changed_is_noticed_by_the_replay(small_base, bring_to):
    drawn = bring_to("drawn")
    path = config.current().data_dir / "frames" / f"{drawn.frame_digest}.csv"
    path.write_bytes(path.read_bytes().replace(b"C0001", b"C9999"))
    assert "the frame's file was changed" in service.replay(KEY).differences[0]


def test_what_was_never_drawn_cannot_be_replayed(small_base, bring_to):
    bring_to("sealed")
    with pytest.raises(StateError, match="nothing has been drawn"):
        service.replay(KEY)


MOVES = {
    "sealed": lambda actor: service.seal(actor, KEY),
    "drawn": lambda actor: service.draw(actor, KEY, PUBLIC),
    "running": lambda actor: service.start(actor, KEY),
    "closed": lambda actor: service.close(actor, KEY),
    "decided": lambda actor: service.record_decision(actor, KEY, "roll_out", {}),
    "rolled_out": lambda actor: service.roll_out(actor, KEY),
    "stopped": lambda actor: service.stop(actor, KEY, "no staff"),
}
ALLOWED = {
    "draft": {"sealed", "stopped"},
    "sealed": {"drawn", "stopped"},
    "drawn": {"running", "stopped"},
    "running": {"closed", "stopped"},
    "closed": {"decided"},
    "decided": {"rolled_out"},
    "rolled_out": set(),
    "stopped": set(),
}


@pytest.mark.parametrize("state", STATES)
def test_from_each_state_only_its_own_moves_are_possible(small_base, bring_to, operator, state):
    bring_to(state)
    for after in MOVES.keys() - ALLOWED[state]:
        with pytest.raises(StateError, match=f"the experiment {KEY} is {state}"):
            MOVES[after](operator)
        assert service.get(KEY).state == state


def test_every_move_is_dated_recorded_and_told_to_observers(base, bring_to):
    observer = Observer()
    plugins().manager.register(observer)
    experiment = bring_to("rolled_out")
    states = ["draft", "sealed", "drawn", "running", "closed", "decided", "rolled_out"]
    moves = [(event.before, event.after) for event in observer.seen]
    assert moves == list(pairwise(states))
    acts = [entry.action for entry in trail(f"experiment:{KEY}") if entry.action != "spill-over changed"]
    assert acts == ["created", *states[1:]]
    stamps = ("created", "sealed", "drawn", "started", "closed", "decided", "rolled_out")
    dates = [getattr(experiment, f"{stamp}_at") for stamp in stamps]
    assert dates == sorted(dates)


def test_whoever_is_not_of_operations_can_move_nothing(small_base, bring_to, document):
    bring_to("sealed")
    agent = Actor("agent@example.com", frozenset({"agent"}))
    document["key"] = "other"
    for act in (
        lambda actor: service.create(actor, plan_of(document)),
        lambda actor: service.notify(actor, KEY),
        *MOVES.values(),
    ):
        with pytest.raises(Forbidden):
            act(agent)
    assert [item.key for item in service.all_experiments()] == [KEY]


def on(month, day):
    clock.travel(datetime(2026, month, day, 9, tzinfo=UTC))


@pytest.mark.parametrize("before", ["draft", "sealed"])
def test_nothing_is_sealed_or_drawn_once_handling_may_have_shown_its_outcome(small_base, bring_to, operator, before):
    bring_to(before)
    move = {"draft": MOVES["sealed"], "sealed": MOVES["drawn"]}[before]
    on(4, 2)
    with pytest.raises(PlanError, match="handling began on 2026-04-01, and today is 2026-04-02") as caught:
        move(operator)
    assert caught.value.place == "plan of desk-2026: calendar.start"
    assert service.get(KEY).state == before
    on(4, 1)
    move(operator)


@pytest.mark.parametrize(("day", "starts"), [((3, 31), False), ((4, 1), True), ((6, 30), True), ((7, 1), False)])
def test_handling_starts_within_its_period_alone(small_base, bring_to, operator, day, starts):
    bring_to("drawn")
    on(*day)
    if starts:
        assert service.start(operator, KEY).state == "running"
        return
    with pytest.raises(StateError, match="lets handling in desk-2026 run from 2026-04-01 to the day before 2026-07-01"):
        service.start(operator, KEY)
    assert service.get(KEY).state == "drawn"


def test_an_experiment_is_not_closed_while_customers_can_answer(small_base, bring_to, operator):
    bring_to("running")
    with pytest.raises(StateError, match="can answer until 2026-07-22: results stay closed until then"):
        service.close(operator, KEY)


def test_only_what_was_decided_to_be_rolled_out_is(small_base, bring_to, operator):
    bring_to("closed")
    service.record_decision(operator, KEY, "do_not", {})
    with pytest.raises(StateError, match="is do_not, not roll_out"):
        service.roll_out(operator, KEY)


def test_a_stopped_experiment_keeps_its_reason(small_base, bring_to, operator):
    bring_to("running")
    with pytest.raises(InputError, match="the reason is empty"):
        service.stop(operator, KEY, " ")
    assert service.stop(operator, KEY, "The desk has no staff").stop_reason == "The desk has no staff"


def test_an_unknown_experiment_is_said_to_be_so(small_base, bring_to):
    bring_to("draft")
    with pytest.raises(NotFound, match="there is no experiment 'desk-2062'") as caught:
        service.get("desk-2062")
    assert "Did you mean 'desk-2026'?" in caught.value.remedy


def test_a_draw_that_fails_at_its_last_step_leaves_nothing_behind(small_base, bring_to, operator):
    """The units are written; then the database refuses the entry in the audit trail."""
    bring_to("sealed")
    with transaction() as work:
        work.session.execute(
            sa.text(
                "CREATE TRIGGER full BEFORE INSERT ON audit_entries WHEN NEW.action = 'drawn' "
                "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
        )
    with pytest.raises(IntegrityError, match="disk full"):
        service.draw(operator, KEY, PUBLIC)
    found = service.get(KEY)
    assert (found.state, found.seed, service.units(found)) == ("sealed", None, [])


@dataclass(frozen=True)
class FirstOnly(SamplingDesign):
    key = "first-only"
    label = "Draws one customer again and again"

    def draw(self, frame, size, keys):
        return Sample(np.zeros(size, dtype=np.int64), np.ones(size))


@dataclass(frozen=True)
class NoChance(AssignmentDesign):
    key = "no-chance"
    label = "Gives everybody control, with no probability"

    def assign(self, strata, shares, keys):
        return Allocation(np.zeros(len(strata), dtype=np.int64), np.zeros(len(strata)))


@pytest.mark.parametrize(
    ("kind", "design", "reason"),
    [
        ("sampling_designs", FirstOnly, "sampling design 'first-only' did not draw 60 different units"),
        ("assignment_designs", NoChance, "assignment design 'no-chance' did not give every unit an arm"),
    ],
)
def test_a_strangers_design_that_breaks_its_contract_is_named_at_the_seal(
    small_base, bring_to, document, kind, design, reason
):
    plugins().registry.add(kind, [design], "stranger")
    place = document["sampling"] if design is FirstOnly else document
    place["design" if design is FirstOnly else "assignment"] = {"part": design.key}
    with pytest.raises(PluginError, match=reason):
        bring_to("sealed")
    assert service.get(KEY).state == "draft"


def test_every_customer_of_every_arm_is_notified_once(base, bring_to, operator):
    experiment = bring_to("drawn")
    assert service.notify(operator, KEY) == 60
    assert service.notify(operator, KEY) == 0
    messages = list(db.session.scalars(sa.select(OutboxMessage)))
    assert Counter(message.kind for message in messages) == {"notice": 60}
    assert {message.customer_id for message in messages} == {unit.customer_id for unit in service.units(experiment)}
    assert {message.experiment_id for message in messages} == {experiment.id}


@pytest.mark.parametrize("state", ["sealed", "closed", "stopped"])
def test_nobody_is_notified_before_the_draw_or_after_the_end(small_base, bring_to, operator, state):
    bring_to(state)
    with pytest.raises(StateError, match=f"is {state}"):
        service.notify(operator, KEY)


def test_the_canonical_plan_is_what_the_database_holds(base, bring_to):
    sealed = bring_to("sealed")
    db.session.expire_all()
    assert json.loads(service.get(KEY).plan)["population"]["segments"] == ["small"]
    assert service.get(KEY).plan == sealed.plan
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Segment)) == 1


def test_the_first_day_begins_where_the_company_is(small_base, bring_to, operator):
    bring_to("drawn")
    small_base.extensions["pilot.config"] = config.current().model_copy(update={"timezone": "Europe/Rome"})
    clock.travel(datetime(2026, 3, 31, 22, 30, tzinfo=UTC))  # half an hour into 1 April in Rome
    assert service.start(operator, KEY).state == "running"


def test_profiles_stay_as_they_are_while_a_plan_waits_for_its_draw(small_base, bring_to, operator):
    """Made anew every day, they would change the frame between the seal and the draw, and the draw would be refused."""
    experiment = bring_to("sealed")
    assert service.waiting_for_draw(date(2026, 3, 31)) == [experiment.key]
    assert service.waiting_for_draw(date(2026, 4, 1)) == []
    assert keep_current() is False
    assert set(db.session.scalars(sa.select(CustomerProfile.as_of).distinct())) == {date(2026, 3, 31)}
    service.draw(operator, experiment.key, PUBLIC)
    assert service.waiting_for_draw(date(2026, 3, 31)) == []
    keep_current()
    assert set(db.session.scalars(sa.select(CustomerProfile.as_of).distinct())) == {config.today()}
