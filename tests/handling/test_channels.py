import pytest

from pilot.errors import InputError
from pilot.plugins.builtin.channels import FieldRep, ServiceDesk


def test_a_touch_costs_its_minutes_and_a_visit_the_journey_too() -> None:
    rep = FieldRep(cost_per_minute=2.0, cost_per_visit=30.0)
    assert (rep.cost("call", 10), rep.cost("mail", 0), rep.cost("visit", 10)) == (20.0, 0.0, 50.0)


def test_rates_are_settings_with_defaults() -> None:
    assert FieldRep.restore({}).settings() == {"cost_per_minute": 1.1, "cost_per_visit": 38.0}
    assert ServiceDesk.restore({"cost_per_minute": 0.5}).cost("call", 10) == 5.0
    with pytest.raises(InputError, match=r"cost_per_minute: .*greater than or equal to 0"):
        ServiceDesk.restore({"cost_per_minute": -1})
