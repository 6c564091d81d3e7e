"""Verdict, results and next steps in plain words, in the language of the page or report."""

from __future__ import annotations

from datetime import timedelta

from flask_babel import gettext as _

from pilot.analysis import Comparison, NotEnoughData
from pilot.experiments.plan import USUAL_TABLE, Plan
from pilot.plugins.manager import plugins
from pilot.reports import wording
from pilot.reports.decision import ArmVerdict, Condition, Decision
from pilot.reports.material import Material, Result


def verdict_name(verdict: str | None) -> str:
    """The verdict in two words."""
    names = {"roll_out": _("Roll out"), "do_not": _("Do not roll out"), "inconclusive": _("Inconclusive")}
    return str(names.get(verdict or "", _("Not decided yet")))


def overall(decision: Decision) -> str:
    """The verdict on a pilot with several pilot arms in one sentence."""
    if decision.verdict == "roll_out":
        text = _("Roll out: every pilot arm passes the rule.")
    elif decision.verdict == "do_not":
        text = _("Do not roll out: no pilot arm is good enough.")
    else:
        text = _("Inconclusive: the pilot arms do not agree, or none of them could tell.")
    return str(text)


def headline(plan: Plan, arm: ArmVerdict) -> str:
    """The verdict on one pilot arm in one sentence."""
    not_worse, cheaper = arm.conditions
    if arm.broken:
        return _guardrail(plan, arm)
    if arm.row is not None and plan.decision.rows != USUAL_TABLE and not arm.blocked:
        return _by_table(arm)
    names = {"quality": _label(plan, not_worse.outcome), "cost": _label(plan, cheaper.outcome)}
    if arm.verdict == "roll_out":
        text = _(
            "Roll out: “%(quality)s” is not worse by more than the agreed margin, and “%(cost)s” is lower.", **names
        )
    elif arm.verdict == "do_not":
        text = _refusal(not_worse, cheaper, names)
    elif arm.blocked:
        text = _("Inconclusive: the numbers would allow a roll-out, but the arms are no longer comparable.")
    else:
        text = _doubt(not_worse, cheaper, names)
    return str(text)


def _guardrail(plan: Plan, arm: ArmVerdict) -> str:
    broken = ", ".join(f"“{_label(plan, item.outcome)}”" for item in arm.broken)
    text: str = _(
        "%(verdict)s: the guardrail %(broken)s is worse by more than its margin.",
        verdict=verdict_name(arm.verdict),
        broken=broken,
    )
    return text


def _by_table(arm: ArmVerdict) -> str:
    text = _("%(verdict)s, by row %(row)s of the agreed table.", verdict=verdict_name(arm.verdict), row=arm.row)
    return f"{text} {arm.note}".strip()


def next_steps(material: Material, arm: ArmVerdict) -> list[str]:
    """What to do now, as sentences."""
    if arm.verdict == "roll_out":
        return [
            _("Hand the customers over in steps, and keep a randomly chosen part on the old handling to compare with."),
            _("Watch the other outcomes of this report while doing so, above all those marked as guardrails."),
        ]
    if arm.verdict == "do_not":
        return [
            _("Leave the handling of these customers as it is."),
            _("Before trying another way, read what the customers of the pilot wrote, and test it in a new pilot."),
        ]
    steps = [_needed(material, condition, arm.arm) for condition in arm.conditions if condition.state == "open"]
    if arm.alarms:
        steps.insert(0, alarm_text(arm))
    steps.append(_("Inconclusive does not mean that there is no difference: this pilot could not tell."))
    return steps


def alarm_text(arm: ArmVerdict) -> str:
    """Which steps of the flow lost customers unequally."""
    steps = ", ".join(step_name(step) for step in arm.alarms)
    text: str = _(
        "The arms lost customers unequally (%(steps)s). Find the cause first: it can make any result look better or worse than it is.",
        steps=steps,
    )
    return text


def step_name(step: str) -> str:
    """A step of the flow."""
    names = {
        "assigned": _("assigned"),
        "notified": _("notified"),
        "bounced": _("notice not delivered"),
        "handled": _("handled by the right channel"),
        "invited": _("invited"),
        "complete": _("answered"),
        "analysed": _("analysed"),
    }
    return str(names.get(step, step))


def caveats(plan: Plan, arm: ArmVerdict) -> list[str]:
    """What must be said beside a verdict: worse within the margin, unequal losses."""
    found = []
    not_worse = arm.conditions[0]
    if not_worse.state == "met" and _wholly_worse(plan, not_worse):
        found.append(
            _(
                "“%(outcome)s” was worse, though by less than the agreed margin.",
                outcome=_label(plan, not_worse.outcome),
            )
        )
    if arm.alarms and arm.verdict != "inconclusive":
        found.append(alarm_text(arm))
    return found


def gaps(material: Material) -> list[str]:
    """Which facts of the handling period are missing altogether: whatever was computed from them says nothing."""
    facts = {part.key: part.facts for part in plugins().all("outcomes")}
    zero: dict[str, list[bool]] = {}
    for result in material.results:
        kind = facts.get(material.plan.outcome(result.outcome).source.part, "")
        zero.setdefault(kind, []).append(result.all_zero)
    calendar = material.plan.calendar
    period = {"start": wording.day(calendar.start), "end": wording.day(calendar.end - timedelta(days=1))}
    texts = {
        "touches": _(
            "No touch is known from %(start)s to %(end)s, so every customer counts with zero. Import the touches of this "
            "period, then compare the arms again.",
            **period,
        ),
        "orders": _(
            "No order is known from %(start)s to %(end)s, so every customer counts with zero. Import the orders of this "
            "period, then compare the arms again.",
            **period,
        ),
    }
    return [text for kind, text in texts.items() if kind in zero and all(zero[kind])]


def effect(material: Material, result: Result) -> str:
    """One result: both arms, the difference with its interval, and what it means."""
    found = result.found
    if isinstance(found, NotEnoughData):
        text: str = _("Nothing can be said here: %(reason)s.", reason=found.reason.rstrip("."))
        return text
    figures = material.figures(result.outcome)
    control, pilot = found.arms[0], next(arm for arm in found.arms if arm.arm == found.arm)
    if figures is None or found.estimate is None:
        return found.sentence
    text = _(
        "%(pilot)s: %(value)s; %(control)s: %(other)s. Difference %(difference)s, %(level)s interval %(interval)s.",
        pilot=wording.short(material.arm_label(found.arm), 60),
        value=figures.value(pilot.mean),
        control=wording.short(material.arm_label(found.control), 60),
        other=figures.value(control.mean),
        difference=figures.difference(found.estimate),
        level=wording.level(found.level),
        interval=figures.interval(found.low, found.high),
    )
    return f"{text} {_meaning(found, result.evidence.higher_is_better)}"


def _meaning(found: Comparison, higher_is_better: bool) -> str:
    low, high = (found.low, found.high) if higher_is_better else (_minus(found.high), _minus(found.low))
    if low is not None and low > 0:
        text = _("The whole interval lies on the better side of zero.")
    elif high is not None and high < 0:
        text = _("The whole interval lies on the worse side of zero.")
    else:
        text = _("Neither an improvement nor a loss is shown.")
    if found.margin is not None and low is not None:
        within = low > -found.margin
        text += " " + (
            _("A loss of more than the margin is unlikely.")
            if within
            else _("A loss of more than the margin is possible.")
        )
    return str(text)


def _refusal(not_worse: Condition, cheaper: Condition, names: dict[str, str]) -> str:
    if not_worse.state == "refuted" and cheaper.state == "refuted":
        return str(
            _(
                "Do not roll out: “%(quality)s” is worse by more than the agreed margin, and “%(cost)s” is higher.",
                **names,
            )
        )
    if not_worse.state == "refuted":
        return str(_("Do not roll out: “%(quality)s” is worse by more than the agreed margin.", **names))
    return str(_("Do not roll out: “%(cost)s” is higher.", **names))


def _doubt(not_worse: Condition, cheaper: Condition, names: dict[str, str]) -> str:
    if not_worse.state == "open" and cheaper.state == "open":
        return str(
            _("Inconclusive: neither is “%(quality)s” shown to be good enough, nor “%(cost)s” to be lower.", **names)
        )
    if not_worse.state == "open":
        return str(
            _(
                "Inconclusive: “%(cost)s” is lower, but “%(quality)s” may be worse by more than the agreed margin.",
                **names,
            )
        )
    return str(_("Inconclusive: “%(quality)s” is good enough, but “%(cost)s” is not shown to be lower.", **names))


def _needed(material: Material, condition: Condition, arm: str) -> str:
    if condition.reason:
        names = {"outcome": _label(material.plan, condition.outcome), "reason": condition.reason.rstrip(".")}
        return str(_("There was too little data on “%(outcome)s”: %(reason)s.", **names))
    if condition.needed is None:
        return str(_("A larger pilot alone would hardly help: the saving that was hoped for was not seen."))
    numbers = {
        "outcome": _label(material.plan, condition.outcome),
        "needed": wording.count(condition.needed),
        "had": " / ".join(wording.count(n) for n in material.sizes(condition.outcome, arm)),
    }
    if condition.name == "not_worse":
        text = _(
            "If both arms are equally good, about %(needed)s answers per arm would show with a probability of "
            "80%% that “%(outcome)s” is not worse by more than the margin; this pilot had %(had)s.",
            **numbers,
        )
    else:
        text = _(
            "If the saving is as large as seen here, about %(needed)s customers per arm would show with a "
            "probability of 80%% that “%(outcome)s” is lower; this pilot had %(had)s.",
            **numbers,
        )
    return str(text)


def _wholly_worse(plan: Plan, condition: Condition) -> bool:
    outcome = next((item for item in plan.outcomes if item.key == condition.outcome), None)
    if outcome is None or outcome.higher_is_better:
        return condition.high is not None and condition.high < 0
    return condition.low is not None and condition.low > 0


def _label(plan: Plan, key: str) -> str:
    return next((wording.short(outcome.label, 80) for outcome in plan.outcomes if outcome.key == key), key)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
