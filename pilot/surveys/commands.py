"""`pilot survey`."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import with_appcontext

from pilot import console
from pilot.accounts.service import SYSTEM
from pilot.experiments import service as experiments
from pilot.surveys import service
from pilot.surveys.definition import load_definition
from pilot.surveys.models import DISPOSITIONS


@click.group()
def survey() -> None:
    """Publish surveys, send personal links, and see what came back."""


@survey.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@console.json_option
@with_appcontext
def import_(file: Path, as_json: bool) -> None:
    """Check the definition in FILE (TOML) and publish it.

    The same content again stays the same version.
    """
    published = service.publish(SYSTEM, load_definition(file))
    console.result(
        {"survey": published.key, "version": published.version, "digest": published.digest},
        as_json,
        lambda: f"Survey {published.key}, version {published.version}. SHA-256 {published.digest}",
    )


@survey.command()
@click.argument("experiment")
@console.json_option
@with_appcontext
def wave(experiment: str, as_json: bool) -> None:
    """Invite every customer of EXPERIMENT, all arms alike.

    Each gets a personal link of their own; the mails are queued.
    """
    opened = service.open_wave(SYSTEM, experiment)
    customers = len(experiments.units(experiments.get(experiment)))
    console.result(
        {"experiment": experiment, "wave": opened.number, "invited": customers, "closes_at": opened.closes_at},
        as_json,
        lambda: (
            f"{console.count(customers, 'invitation')} queued. Send: pilot mail send\n"
            f"Answers are taken until {opened.closes_at:%Y-%m-%d %H:%M} UTC."
        ),
    )


@survey.command()
@click.argument("experiment")
@console.json_option
@with_appcontext
def remind(experiment: str, as_json: bool) -> None:
    """Remind customers of EXPERIMENT who have not answered.

    A reminder is queued to each whose invitation went out.
    """
    queued = service.remind(SYSTEM, experiment)
    console.result(
        {"experiment": experiment, "reminded": queued},
        as_json,
        lambda: f"{console.count(queued, 'reminder')} queued. Send: pilot mail send",
    )


@survey.command()
@click.argument("experiment")
@console.json_option
@with_appcontext
def close(experiment: str, as_json: bool) -> None:
    """Take no more answers for EXPERIMENT."""
    service.close_wave(SYSTEM, experiment)
    console.result(
        {"experiment": experiment, "closed": True}, as_json, lambda: f"The survey of {experiment} is closed."
    )


@survey.command()
@click.argument("experiment")
@console.json_option
@with_appcontext
def dispositions(experiment: str, as_json: bool) -> None:
    """What became of the invitations of EXPERIMENT, by arm.

    The columns are named in AAPOR's words.
    """
    opened = service.wave_of(experiment)
    found = service.dispositions(opened.experiment_id)
    names = [name.replace("_", "-") for name in DISPOSITIONS]
    console.result(
        found,
        as_json,
        lambda: console.table(
            ["Arm", "Invited", *names],
            ([arm, sum(numbers.values()), *numbers.values()] for arm, numbers in found.items()),
        ),
    )
