"""`pilot experiment power` and `pilot experiment rehearse`."""

from __future__ import annotations

from collections.abc import Mapping

import click
from flask.cli import with_appcontext
from flask_babel import force_locale

from pilot import console
from pilot.accounts.service import SYSTEM
from pilot.errors import InputError
from pilot.experiments import powerwording as words
from pilot.experiments import rehearsing, service
from pilot.experiments.plan import Plan
from pilot.experiments.power import PlanPower, of
from pilot.experiments.rehearsal import LEVEL, TIMES, Rate, Rehearsal


@click.command()
@click.argument("key")
@console.json_option
@with_appcontext
def power(key: str, as_json: bool) -> None:
    """Say what a pilot of this size can show.

    For every outcome of the plan at once, from the company's own data where they tell: the smallest difference it shows,
    its power, the customers it takes, and the chance of each verdict.
    """
    found = service.get(key)
    told = of(found, service.plan_of(found))
    with force_locale("en"):
        console.result(told.as_json(), as_json, lambda: _power(told))


@click.command()
@click.argument("key")
@click.option("--times", type=click.IntRange(1, rehearsing.MOST), default=TIMES, show_default=True, help="How often.")
@click.option("--seed", default="1", show_default=True, help="Another seed, other draws.")
@click.option(
    "--effect",
    "effects",
    multiple=True,
    metavar="KEY=VALUE",
    help="True difference of an outcome, pilot minus control.",
)
@console.json_option
@with_appcontext
def rehearse(key: str, times: int, seed: str, effects: tuple[str, ...], as_json: bool) -> None:
    """Try the whole design on the past, many times.

    Each time a sample is drawn, arms are assigned and compared as the plan says, on orders and touches from before the
    pilot: how often there is a false alarm, how often the planned effect is seen, how alike the arms are.
    """
    planted = dict(_effect(text) for text in effects)
    with console.progress("Rehearsing", times) as done:
        result = rehearsing.at_once(SYSTEM, key, times, seed, planted, done)
    plan = service.plan_of(service.get(key))
    with force_locale("en"):
        console.result({"key": key, **result.as_json()}, as_json, lambda: _rehearsed(plan, result))


def _effect(text: str) -> tuple[str, float]:
    key, sign, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = None
    if not sign or number is None:
        raise InputError(f"{text!r} is no effect", place="--effect", remedy="Write KEY=VALUE, such as revenue=25")
    return key.strip(), number


def _power(power: PlanPower) -> str:
    plan = power.plan
    last = power.period.end.toordinal() - power.period.start.toordinal()
    blocks = [
        f"{plan.name}: {plan.sampling.size:,} of {power.frame:,} customers; baseline of the {last} days up to "
        f"{plan.population.as_of}"
    ]
    for found in power.outcomes:
        rows = [f"{found.outcome.label}", f"  {words.sentence(power, found)}"]
        if found.planned:
            rows += [f"  Control: {words.baseline(found.baseline)}", f"  Needed: {words.needed(found)}"]
            table = [
                ["*" if line.is_plan else "", line.customers, line.answers, line.power, line.smallest]
                for line in words.lines(power, found)
            ]
            heads = [
                "",
                "in the pilot arm",
                "values",
                "power",
                "smallest margin" if found.margin else "smallest difference",
            ]
            rows.append("  " + console.table(heads, table).replace("\n", "\n  "))
        blocks.append("\n".join(rows))
    blocks += [
        f"If that is true, “{words.arm_label(plan, arm)}”: {chances}." for arm, chances in power.verdicts.items()
    ]
    if power.unknown:
        why = f"{power.unknown.outcome}: {words.reason(power.unknown.reason)}"
        blocks.append(f"The chance of each verdict is not known. {why}.")
    for title, texts in (("Assumed", words.assumptions(power)), ("Beware", words.warnings(power))):
        if texts:
            blocks.append("\n".join([f"{title}:", *(f"  - {text}" for text in texts)]))
    return "\n\n".join(blocks)


def _rehearsed(plan: Plan, result: Rehearsal) -> str:
    blocks = [f"{plan.name}: {result.times:,} times {result.size:,} of {result.frame:,} customers (seed {result.seed})"]
    if result.tried:
        heads = ["Outcome", "Analysis", "Arm", "False alarms", "allowed", "", "Effect", "shown in"]
        rows = [
            [
                *(tried.outcome, tried.analysis, tried.arm, _rate(tried.alarms), f"{100 * tried.nominal:.3g} %"),
                *(words.truth(tried), f"{tried.effect:+.4g}", _rate(tried.shown)),
            ]
            for tried in result.tried
        ]
        blocks.append(console.table(heads, rows))
    blocks += [
        f"{plan.outcome(key).label}: cannot be rehearsed, {words.reason(reason)}."
        for key, reason in result.unknown.items()
    ]
    titles = {"same": "Where nothing differs", "planned": "Where the planned effects are true"}
    blocks += [f"{titles[scene]}: {_counted(said)}." for scene, said in result.verdicts.items()]
    if not result.verdicts:
        blocks += [f"Condition {name}: {_counted(said)}." for name, said in result.conditions.items()]
    if result.likeness:
        apart = [
            (str(words.MEASURE_NAMES.get(item.measure, item.measure)), item.median, item.worst)
            for item in result.likeness
        ]
        blocks.append(console.table(["Arms apart, in standard deviations", "median", "worst"], apart))
    blocks.append(f"Limits hold with {100 * LEVEL:.0f} %.")
    return "\n\n".join(blocks)


def _rate(rate: Rate) -> str:
    if not rate.times:
        return "never told"
    return f"{100 * rate.share:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def _counted(said: Mapping[str, int]) -> str:
    total = sum(said.values()) or 1
    return ", ".join(f"{name.replace('_', ' ')} {100 * number / total:.1f} %" for name, number in said.items())
