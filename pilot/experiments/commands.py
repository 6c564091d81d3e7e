"""`pilot experiment` and `pilot replay`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from pilot import config, console
from pilot.accounts.service import SYSTEM
from pilot.errors import CheckFailed, InputError
from pilot.experiments import service
from pilot.experiments.models import Experiment
from pilot.experiments.plan import load_toml, to_toml

_ABOVE = {
    "start": ("pilot.handling.commands:start", "Let handling begin."),
    "close": ("pilot.handling.commands:close", "End the handling period."),
    "decide": ("pilot.reports.commands:decide", "Apply the decision rule of the plan to a closed EXPERIMENT."),
    "flow": ("pilot.reports.runningcommands:flow", "How many customers came how far, and where arms went apart."),
    "follow-up": (
        "pilot.reports.runningcommands:follow_up",
        "Compare who was held out of the roll-out with the others.",
    ),
    "look": ("pilot.reports.runningcommands:look", "Look at the results before the close, as the plan pays for it."),
    "opt-out": ("pilot.handling.commands:opt_out", "Take a customer out of the treatment, and keep it in its arm."),
    "rollout": ("pilot.handling.commands:rollout", "Take the next step of the roll-out."),
    "staff": ("pilot.reports.runningcommands:staff", "The staff it takes to handle everybody as in the pilot."),
    "balance": ("pilot.experiments.proofcommands:balance", "Compare frame, sample and arms on every field."),
    "spillover": ("pilot.experiments.proofcommands:spills", "List what customers of different arms share."),
    "stop": ("pilot.handling.commands:stop", "End an experiment before its time, for good."),
    "power": ("pilot.experiments.powercommands:power", "Say what a pilot of this size can show."),
    "rehearse": ("pilot.experiments.powercommands:rehearse", "Try the whole design on the past, many times."),
}
"""Moves that do more than move the experiment: they open cases, or read results."""

_DRAFTED = "{key} is a draft. When nothing in it shall change: pilot experiment seal {key}"
MOST_SHOWN = 20
MOST_OF_A_VALUE = 60


@click.group(cls=console.LazyGroup, lazy=_ABOVE)
def experiment() -> None:
    """Plan, seal, draw and run an experiment. Each command takes the key of its plan."""


@experiment.command()
@click.argument("plan", type=click.Path(path_type=Path), required=False)
@click.option(
    "--template", metavar="KEY", help="Begin from a template, filled in from the base: see the help of the command"
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Only write the template's plan here"
)
@console.json_option
@with_appcontext
def create(plan: Path | None, template: str | None, output: Path | None, as_json: bool) -> None:
    """Keep a plan as a draft.

    PLAN is a TOML file; it is checked first. A draft of the same key is replaced. Instead of a file, a template can be
    named: service-desk, quarterly-call or win-back-letter.
    """
    if (plan is None) == (template is None):
        raise click.UsageError("Name either a PLAN or a --template.")
    if output is not None and template is None:
        raise click.UsageError("-o goes with --template.")
    if template is not None:
        _from_template(template, output, as_json)
    elif plan is not None:
        made = service.create(SYSTEM, load_toml(plan), place=plan.name)
        _tell(made, as_json, _DRAFTED.format(key=made.key))


def _from_template(template: str, output: Path | None, as_json: bool) -> None:
    """Write the plan a template gives on this base, or keep it."""
    from pilot.experiments.drafts import complete
    from pilot.experiments.templates import filled

    plan = complete(filled(template, config.current().language))
    if output is None:
        _tell(service.create(SYSTEM, plan), as_json, _DRAFTED.format(key=plan.key))
        return
    _write_new(output, to_toml(plan))
    console.result(
        {"key": plan.key, "file": str(output)},
        as_json,
        lambda: f"{output} is written. Look through it, then: pilot experiment create {output}",
    )


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(
            f"the file cannot be written: {error.strerror}", place=str(path), remedy="Choose another name or folder"
        ) from error


@experiment.command()
@with_appcontext
def schema() -> None:
    """Print the JSON Schema of plans.

    It holds the settings of every part that is installed; editors that know it help with writing a plan.
    """
    from pilot.experiments.schema import plan_schema

    click.echo(json.dumps(plan_schema(), indent=2, ensure_ascii=False))


@experiment.command("list")
@console.json_option
@with_appcontext
def list_(as_json: bool) -> None:
    """All experiments, newest first."""
    found = service.all_experiments()
    rows = [(item.key, item.state.replace("_", " "), item.created_at.date(), item.name) for item in found]
    console.result(
        [_facts(item) for item in found],
        as_json,
        lambda: (
            console.table(["Key", "State", "Created", "Name"], rows)
            if rows
            else "No experiment yet. Begin with: pilot experiment create PLAN.toml"
        ),
    )


@experiment.command()
@click.argument("key")
@click.option("--toml", "as_toml", is_flag=True, help="Print the plan alone, as a TOML file")
@console.json_option
@with_appcontext
def show(key: str, as_toml: bool, as_json: bool) -> None:
    """Show plan, hashes, draw and dates.

    The plan stands there in words, the draw by stratum and arm.
    """
    from pilot.experiments.outline import outline, warnings

    found = service.get(key)
    plan = service.plan_of(found)
    if as_toml:
        click.echo(to_toml(plan), nl=False)
        return
    layers = service.layers(found) if found.frame_digest else []
    strata = [{"stratum": layer.label, "eligible": layer.population, **layer.assigned} for layer in layers]
    console.result(
        {**_facts(found), "plan": json.loads(found.plan), "strata": strata, "warnings": warnings(plan)},
        as_json,
        lambda: outline(found, plan, layers),
    )


@experiment.command()
@click.argument("key")
@console.json_option
@with_appcontext
def seal(key: str, as_json: bool) -> None:
    """Freeze plan, survey and frame.

    Each gets its hash. There is no way back.
    """
    from pilot.experiments.outline import warnings

    sealed = service.seal(SYSTEM, key)
    _tell(
        sealed,
        as_json,
        f"{key} is sealed.\nPlan hash     {sealed.plan_hash}\nFrame digest  {sealed.frame_digest}  "
        f"({sealed.frame_size:,} customers)\nPublish both, wait for the public value, then: "
        f"pilot experiment draw {key} --public-value TEXT",
    )
    for warning in warnings(service.plan_of(sealed)):
        console.say(f"Mind: {warning}.")


@experiment.command()
@click.argument("key")
@click.argument("plan", type=click.Path(path_type=Path), required=False)
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is printed in the report")
@console.json_option
@with_appcontext
def amend(key: str, plan: Path | None, reason: str, as_json: bool) -> None:
    """Change a sealed plan, with a reason.

    PLAN is the plan as it shall be from now on. Without it the plan stays and the frame is taken anew, as is needed where
    the customer base has changed between seal and draw. After the draw nothing can be amended that has a part in it.
    """
    made = service.amend(
        SYSTEM, key, reason, load_toml(plan) if plan else None, place=plan.name if plan else f"plan of {key}"
    )
    number = len(service.versions(made))
    told = f"{key} is amended: version {number}.\nPlan hash     {made.plan_hash}\nFrame digest  {made.frame_digest}"
    _tell(made, as_json, told)


@experiment.command()
@click.argument("key")
@click.option("--version", "number", type=int, metavar="N", help="Compare this version with the one before it")
@console.json_option
@with_appcontext
def diff(key: str, number: int | None, as_json: bool) -> None:
    """Show what amendments changed in the plan."""
    from pilot.experiments.outline import amendments

    found = amendments(service.get(key), number)
    console.result(found, as_json, lambda: _amendments(key, found))


@experiment.command()
@click.argument("key")
@click.option(
    "--public-value", required=True, metavar="TEXT", help="A value nobody in the company controls, e.g. lottery numbers"
)
@console.json_option
@with_appcontext
def draw(key: str, public_value: str, as_json: bool) -> None:
    """Draw the sample and assign the arms, once."""
    drawn = service.draw(SYSTEM, key, public_value)
    number = len(service.units(drawn))
    _tell(
        drawn,
        as_json,
        f"{number:,} of {drawn.frame_size:,} customers are drawn and assigned.\nSeed  {drawn.seed}\n"
        f"Anybody can repeat it: pilot replay {key}",
    )


@experiment.command()
@click.argument("key")
@console.json_option
@with_appcontext
def notify(key: str, as_json: bool) -> None:
    """Queue the notice to every customer.

    All arms get the same; `pilot mail send` sends it. Doing it again queues nobody twice.
    """
    queued = service.notify(SYSTEM, key)
    console.result(
        {"key": key, "queued": queued},
        as_json,
        lambda: (
            f"{console.count(queued, 'notice')} queued."
            if queued
            else "Every notice was queued before; nothing is added."
        ),
    )


@click.command()
@click.argument("key")
@console.json_option
@with_appcontext
def replay(key: str, as_json: bool) -> None:
    """Repeat the draw of an experiment and compare every customer.

    Exit code 1 if anything differs.
    """
    found = service.replay(key)
    data = {"key": key, "equal": found.equal, "units": found.units, "differences": found.differences}
    console.result(data, as_json, lambda: _replayed(found))
    if not found.equal:
        raise CheckFailed(
            f"the draw of {key} does not repeat ({console.count(len(found.differences), 'difference')})",
            remedy="Somebody or something has changed stored data; compare with a backup",
        )


def _amendments(key: str, found: list[dict[str, Any]]) -> str:
    if not found:
        return f"The plan of {key} was never amended."
    blocks = [
        "\n".join(
            [
                f"Version {version['number']}, {version['at'][:10]}, by {version['actor']}: {version['reason']}",
                *(
                    f"  {change['place']}: {_short(change['before'])} -> {_short(change['after'])}"
                    for change in version["changes"]
                ),
                *(["  the frame was taken anew"] if version["frame_anew"] else []),
            ]
        )
        for version in found
    ]
    return "\n\n".join(blocks)


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_OF_A_VALUE else f"{text[:MOST_OF_A_VALUE]}…"


def _replayed(found: service.ReplayResult) -> str:
    if found.equal:
        return f"The draw repeats: {found.units:,} customers, each with the same stratum, arm and probabilities."
    shown = found.differences[:MOST_SHOWN]
    more = len(found.differences) - len(shown)
    return "\n".join([*shown, f"… and {more:,} more; --json lists all"] if more else shown)


def _facts(found: Experiment) -> dict[str, Any]:
    """An experiment as plain JSON values, without its plan."""
    names = (
        *("key", "name", "state", "plan_hash", "frame_digest", "frame_size", "public_value", "seed", "algorithm"),
        *("created_at", "sealed_at", "drawn_at", "started_at", "closed_at", "decided_at", "rolled_out_at"),
        *("stopped_at", "stop_reason", "verdict", "decision"),
    )
    values = {name: getattr(found, name) for name in names}
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in values.items()}


def _tell(found: Experiment, as_json: bool, text: str) -> None:
    console.result(_facts(found), as_json, lambda: text)
