"""`pilot experiment flow`, `look`, `staff` and `follow-up`: what may be seen of a pilot while it runs, and after."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from flask.cli import with_appcontext

from pilot import console
from pilot.accounts.service import SYSTEM
from pilot.analysis import Comparison
from pilot.experiments import service as experiments


@click.command()
@click.argument("key")
@console.json_option
@with_appcontext
def flow(key: str, as_json: bool) -> None:
    """How many customers came how far, and where arms went apart.

    Exit code 1 if a step is broken.
    """
    from pilot.errors import CheckFailed
    from pilot.reports import ratios, service, telling

    experiment = experiments.get(key)
    found = service.flow_steps(experiment)
    broken = ratios.first_broken(found)
    arms = [arm.key for arm in experiments.plan_of(experiment).arms]
    rows = [
        (
            telling.step_name(item.step),
            *(f"{n:,}" for n in item.counts),
            "" if item.p is None else f"{item.p:.3g}",
            item.state,
        )
        for item in found
    ]
    data = [{**asdict(item), "counts": dict(zip(arms, item.counts, strict=True))} for item in found]
    console.result(
        {"key": key, "steps": data, "first_broken": broken.step if broken else None},
        as_json,
        lambda: console.table(["Step", *arms, "p", ""], rows) + "\n\n" + ratios.in_words(experiment, broken),
    )
    if broken:
        raise CheckFailed(f"the arms of {key} went apart at the step {broken.step!r}", remedy="Find the cause first")


@click.command()
@click.argument("key")
@click.option("--reason", default="", metavar="TEXT", help="Why to look outside the plan; printed as a deviation")
@console.json_option
@with_appcontext
def look(key: str, reason: str, as_json: bool) -> None:
    """Look at the results before the close, as the plan pays for it.

    The deciding outcomes are held against the rule by the bound of this look, and the look is recorded. Outside the plan it
    takes a reason.
    """
    from pilot.reports import looks

    taken = looks.look(SYSTEM, key, reason)
    names = ("number", "reason", "information", "findings", "actor", "approved_by")
    data: dict[str, Any] = {"key": key, **{name: getattr(taken, name) for name in names}, "at": taken.at.isoformat()}
    lines = [
        f"{finding['arm']}: {condition['outcome']} {condition['name'].replace('_', ' ')}: {condition['state']}"
        + (f" ({condition['reason']})" if condition["reason"] else "")
        for finding in taken.findings
        for condition in finding["conditions"]
    ]
    head = f"Look {taken.number} of the plan" if taken.number else "A look outside the plan"
    console.result(
        data, as_json, lambda: "\n".join([f"{head}, at {100 * taken.information:.0f} % of its time.", *lines])
    )


@click.command()
@click.argument("key")
@console.json_option
@with_appcontext
def staff(key: str, as_json: bool) -> None:
    """The staff it takes to handle everybody as in the pilot.

    From the minutes of each arm's customers, with 95 % intervals.
    """
    from pilot.reports import staffing

    found = staffing.staff(experiments.get(key))
    rows = [(item.arm, item.channel, _told(item.minutes), _told(item.people)) for item in found]
    console.result(
        [asdict(item) for item in found],
        as_json,
        lambda: (
            console.table(["Arm", "Channel", "Minutes per customer and week", "People for the whole frame"], rows)
            if rows
            else "No touch is known of the handling period, so no staff either."
        ),
    )


@click.command("follow-up")
@click.argument("key")
@console.json_option
@with_appcontext
def follow_up(key: str, as_json: bool) -> None:
    """Compare who was held out of the roll-out with the others.

    On revenue, orders and who ordered at all, from the day after the newest step on.
    """
    from pilot.reports import followup

    found = followup.follow_up(experiments.get(key))
    data = {
        **{name: getattr(found, name) for name in ("since", "until", "held_out", "rolled_out")},
        "found": [item.as_json() for item in found.found],
    }
    head = f"{found.rolled_out:,} rolled out, {found.held_out:,} held out, from {found.since} to before {found.until}"
    lines = [
        item.sentence if isinstance(item, Comparison) else f"{item.outcome}: {item.reason}" for item in found.found
    ]
    console.result({"key": key, **data}, as_json, lambda: "\n".join([head, *lines]))


def _told(found: Any) -> str:
    if found.low is None:
        return f"{found.value:.2f} (no interval: too few customers)"
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
