"""Handling: customers of an experiment are given to the channel of their arm, and taken back at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from pilot import clock
from pilot.accounts.service import Actor, record
from pilot.customers.models import Customer
from pilot.db import db, transaction
from pilot.errors import NotFound, PluginError, StateError
from pilot.experiments import service as experiments
from pilot.experiments.models import Experiment, Unit
from pilot.handling.channels import HandlingChannel
from pilot.handling.models import Case
from pilot.plugins.manager import plugins


def start(actor: Actor, key: str) -> int:
    """Start an experiment and hand every customer over to the channel of its arm, as one act.

    Returns:
        How many customers were handed over.

    Raises:
        NotFound: There is no such experiment.
        StateError: It is not drawn, or runs already.
        PluginError: A channel did not take its customers on; the experiment is not started then.
    """
    with transaction():
        experiments.start(actor, key)
        return open_cases(actor, experiments.get(key))


def open_cases(actor: Actor, experiment: Experiment) -> int:
    """Open a case for every unit that has none yet, and hand all open cases over. Repeating it does no harm.

    Returns:
        How many cases were opened.

    Raises:
        PluginError: A channel did not take its customers on; nothing is opened then.
    """
    actor.require("operations")
    with transaction():
        opened = sum(_open(experiment, arm.key, arm.channel) for arm in experiments.plan_of(experiment).arms)
        for key in db.session.scalars(sa.select(Case.channel).where(*_open_in(experiment)).distinct()).all():
            cases = db.session.scalars(
                sa.select(Case).where(*_open_in(experiment), Case.channel == key).order_by(Case.id)
            ).all()
            _hand_over(key, cases)
    return opened


def finish(actor: Actor, key: str) -> int:
    """Close an experiment and its cases, as one act.

    Returns:
        How many cases were closed.

    Raises:
        NotFound: There is no such experiment.
        StateError: It does not run.
    """
    with transaction():
        return _close_cases(experiments.close(actor, key))


def stop(actor: Actor, key: str, reason: str) -> int:
    """End an experiment before its time, for good, and close its cases, as one act.

    Returns:
        How many cases were closed.

    Raises:
        InputError: The reason is empty, too long or not on one line.
        NotFound: There is no such experiment.
        StateError: It is closed or stopped already.
    """
    with transaction():
        return _close_cases(experiments.stop(actor, key, reason))


def opt_out(actor: Actor, key: str, ref: str) -> bool:
    """Take a customer out of the treatment of an experiment, because it wants no part in it.

    Its case is closed and taken back from the channel, and no mail of ours goes out to it any more. It keeps its arm and
    is counted there to the end (intention to treat). Doing it again changes nothing.

    Args:
        actor: Of operations or an agent.
        key: Of the experiment, drawn or running.
        ref: The customer's number.

    Returns:
        Whether this was new.

    Raises:
        NotFound: There is no such experiment, or the customer is not in it.
        PluginError: The channel did not give the customer back; nothing is changed then.
        StateError: The experiment is not drawn yet, or over.
    """
    actor.require("operations", "agent")
    with transaction():
        experiment, customer = experiments.get(key), _member(key, ref)
        if experiment.state not in ("drawn", "running"):
            raise StateError(
                f"the experiment {key} is {experiment.state}", remedy="Customers opt out between the draw and the close"
            )
        case = db.session.scalar(sa.select(Case).where(*_open_in(experiment), Case.customer_id == customer.id))
        if customer.opted_out_at is not None and case is None:
            return False
        customer.opted_out_at = customer.opted_out_at or clock.now()
        if case is not None:
            case.opted_out_at = case.closed_at = clock.now()
            _ask(case.channel, "did not give a customer back", lambda channel: channel.take_back([case]))
        record(actor, "opted out", f"experiment:{key}", customer=ref)
    return True


def _member(key: str, ref: str) -> Customer:
    query = sa.select(Customer).where(Customer.ref == ref, Customer.id.in_(experiments.pilot_members(key)))
    found = db.session.scalar(query.with_for_update())
    if found is None:
        raise NotFound(f"there is no customer {ref!r} in {key}", remedy="Give the number of a customer who was drawn")
    return found


def _close_cases(experiment: Experiment) -> int:
    result = db.session.execute(
        sa.update(Case)
        .where(*_open_in(experiment))
        .values(closed_at=clock.now())
        .execution_options(synchronize_session=False)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def _open_in(experiment: Experiment) -> tuple[sa.ColumnElement[bool], ...]:
    return Case.experiment_id == experiment.id, Case.closed_at.is_(None)


def _open(experiment: Experiment, arm: str, channel: str) -> int:
    """Open the missing cases of one arm in one statement; who has opted out since the draw gets none."""
    has_case = sa.exists().where(Case.experiment_id == Unit.experiment_id, Case.customer_id == Unit.customer_id)
    units = sa.select(
        Unit.experiment_id, Unit.customer_id, sa.literal(channel), sa.literal(clock.now(), Case.opened_at.type)
    ).join(Customer, Customer.id == Unit.customer_id)
    units = units.where(
        Unit.experiment_id == experiment.id, Unit.arm == arm, ~has_case, Customer.opted_out_at.is_(None)
    )
    into = ["experiment_id", "customer_id", "channel", "opened_at"]
    opening = sa.insert(Case).from_select(into, units.order_by(Unit.id))
    result = db.session.execute(opening.execution_options(preserve_rowcount=True))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _hand_over(key: str, cases: Sequence[Case]) -> None:
    _ask(key, "did not take its customers on", lambda channel: channel.hand_over(cases))


def _ask(key: str, failing: str, act: Callable[[HandlingChannel], None]) -> None:
    channel: HandlingChannel = plugins().build("handling_channels", key, {})
    try:
        act(channel)
    except Exception as error:
        owner = plugins().registry.owner("handling_channels", key)
        raise PluginError(
            f"channel {key!r} of plugin {owner!r} {failing}: {error}",
            remedy="Repair the channel and try again; repeating does no harm",
        ) from error
