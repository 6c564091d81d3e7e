import pytest

from pilot import clock, config
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.experiments import service
from pilot.mail.models import OutboxMessage
from pilot.mail.service import Content, Withhold

KEY = "desk-2026"
OWN = {
    "en": {"subject": "{company} and you", "body": "Hello {customer},\n\n{{until}} is {until}.\n"},
    "pl": {"subject": "Do {customer}", "body": "Do {until}"},
}


def compose(unit_id):
    return service.compose_notice(OutboxMessage(kind="notice", subject_id=unit_id))


def unit_where(experiment, language):
    for unit in service.units(experiment):
        if db.session.get(Customer, unit.customer_id).language == language:
            return unit
    raise AssertionError(f"nobody drawn reads {language}")


def change(unit, **values):
    with transaction():
        customer = db.session.get(Customer, unit.customer_id)
        for name, value in values.items():
            setattr(customer, name, value)


def test_the_notice_says_who_why_how_long_and_how_to_object(small_base, bring_to):
    unit = unit_where(bring_to("drawn"), "en")
    content = compose(unit.id)
    assert isinstance(content, Content)
    assert content.language == "en"
    assert content.subject == "How we look after you until June 30, 2026"
    for text in (content.text, content.html):
        words = " ".join(text.split())
        assert f"Dear Customer {int(unit.ref[1:])}," in words
        for said in (
            config.current().company,
            "Until June 30, 2026",
            "decided by chance",
            "Nothing changes for the worse",
            "a message from this sender will bring you a short survey",
            "simply reply to this message",
        ):
            assert said in words


def test_the_notice_is_the_same_in_every_arm(small_base, bring_to):
    bodies = {}
    for unit in service.units(bring_to("drawn")):
        change(unit, name="You", language="en")
        bodies.setdefault(unit.arm, set()).add(compose(unit.id).text)
    assert bodies["control"] == bodies["pilot"]
    assert len(bodies["pilot"]) == 1


@pytest.mark.parametrize(("language", "until"), [("it", "30 giugno 2026"), ("pl", "30 czerwca 2026")])
def test_the_notice_speaks_the_customers_language(small_base, bring_to, language, until):
    content = compose(unit_where(bring_to("drawn"), language).id)
    assert content.language == language
    assert until in content.text


def test_who_has_no_language_is_written_to_in_that_of_the_installation(small_base, bring_to):
    unit = unit_where(bring_to("drawn"), None)
    small_base.extensions["pilot.config"] = config.current().model_copy(update={"language": "it"})
    assert compose(unit.id).language == "it"


def test_the_plans_own_text_is_filled_in_once(small_base, bring_to, document):
    document["notice"] = OWN
    unit = unit_where(bring_to("drawn"), "en")
    change(unit, name="{until} <b>Müller</b>")
    content = compose(unit.id)
    assert content.subject == f"{config.current().company} and you"
    assert "Hello {until} <b>Müller</b>," in content.text
    assert "{until} is June 30, 2026." in content.text
    assert "&lt;b&gt;Müller&lt;/b&gt;" in content.html


def test_a_language_without_a_text_of_its_own_gets_the_built_in_one(small_base, bring_to, document):
    document["notice"] = OWN
    content = compose(unit_where(bring_to("drawn"), "it").id)
    assert "30 giugno 2026" in content.subject


@pytest.mark.parametrize(
    ("values", "reason"),
    [({"opted_out_at": clock.now()}, "the customer has opted out"), ({"email": None}, "no e-mail address")],
)
def test_who_opted_out_or_cannot_be_reached_gets_none(small_base, bring_to, values, reason):
    unit = service.units(bring_to("drawn"))[0]
    change(unit, **values)
    withheld = compose(unit.id)
    assert isinstance(withheld, Withhold)
    assert reason in withheld.reason


def test_after_the_experiment_was_stopped_nobody_gets_one(small_base, bring_to):
    withheld = compose(service.units(bring_to("stopped"))[0].id)
    assert withheld == Withhold("the experiment is stopped")


def test_a_notice_to_nobody_is_withheld(small_base, bring_to):
    bring_to("drawn")
    assert isinstance(compose(999_999), Withhold)
