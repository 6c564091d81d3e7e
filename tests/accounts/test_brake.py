from datetime import UTC, datetime, timedelta

from pilot import clock
from pilot.accounts.brake import Brake, neighbourhood

NOON = datetime(2026, 7, 3, 12, tzinfo=UTC)


def test_ten_attempts_are_looked_at_and_the_eleventh_has_to_wait() -> None:
    clock.travel(NOON)
    brake = Brake()
    assert [brake.admit(["account a"]) for _ in range(10)] == [None] * 10
    wait = brake.admit(["account a"])
    assert wait is not None
    assert timedelta(minutes=14, seconds=50) < wait <= timedelta(minutes=15)


def test_the_owner_is_let_in_again_after_the_wait_and_not_before() -> None:
    brake = Brake()
    clock.travel(NOON)
    for _ in range(12):  # what is turned away does not make the wait longer
        brake.admit(["account a"])
    clock.travel(NOON + timedelta(minutes=14))
    assert brake.admit(["account a"]) is not None
    clock.travel(NOON + timedelta(minutes=16))
    assert brake.admit(["account a"]) is None


def test_one_address_trying_many_accounts_is_stopped_too() -> None:
    brake = Brake()
    outcomes = [brake.admit([f"account {n}", "from 10.0.0.1"]) for n in range(1000)]
    assert outcomes.count(None) == 10
    assert brake.admit(["account 1", "from 10.0.0.2"]) is None


def test_a_right_password_does_not_count() -> None:
    brake = Brake()
    for _ in range(50):
        assert brake.admit(["account a"]) is None
        brake.forgive(["account a"])


def test_memory_stays_bounded() -> None:
    brake = Brake()
    for n in range(10_050):
        brake.admit([f"from {n}"])
    assert len(brake._seen) <= 10_001


def test_a_whole_ipv6_network_is_one_neighbour() -> None:
    assert neighbourhood("2001:db8:0:1::5") == neighbourhood("2001:db8:0:1:ffff::9")
    assert neighbourhood("2001:db8:0:2::5") != neighbourhood("2001:db8:0:1::5")
    assert neighbourhood("10.0.0.1") != neighbourhood("10.0.0.2")
    assert neighbourhood(None) == "unknown"
