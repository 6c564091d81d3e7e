"""What power and rehearsal say, in the language of the reader: sentences, warnings, and the figures of an outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from pilot import web
from pilot.analysis import Scale
from pilot.experiments.expectations import NO_SPREAD, Baseline
from pilot.experiments.past import NO_PAST
from pilot.experiments.plan import Plan
from pilot.experiments.power import (
    FEW,
    NO_NUMBERS,
    NO_SIZE,
    WANTED,
    OutcomePower,
    PlanPower,
    Point,
    clusters_disregarded,
)
from pilot.experiments.rehearsal import NOT_ANALYSED, Tried

ORIGINS = {
    "plan": _l("from the plan"),
    "data": _l("from your own data"),
    "assumed": _l("assumed"),
    "margin": _l("as against every margin"),
    "unknown": _l("not known"),
}
TRUTHS = {
    "as_stated": _l("as stated"),
    "too_many": _l("too many"),
    "cautious": _l("fewer than allowed"),
}
MEASURE_NAMES = {
    "revenue_year": _l("Revenue, 12 months"),
    "revenue_before": _l("Revenue, the 12 months before"),
    "monetary": _l("Revenue altogether"),
    "frequency": _l("Orders"),
    "order_days": _l("Days with an order"),
    "recency_days": _l("Days since the last order"),
    "interval_days": _l("Days between orders"),
    "touches_year": _l("Touches, 12 months"),
    "minutes_year": _l("Minutes of touches, 12 months"),
    "cost_year": _l("Cost to serve, 12 months"),
    "contribution_year": _l("Contribution, 12 months"),
    "potential": _l("Potential"),
}

REASONS = {
    NO_PAST: _l("it has no past, such as answers of earlier years"),
    NO_SPREAD: _l("in the period before there is nothing of it, or all customers had the same"),
    NOT_ANALYSED: _l("no analysis of it is planned"),
    NO_SIZE: _l("none of its planned analyses can plan a size"),
    NO_NUMBERS: _l("neither the plan nor the data say how much customers differ in it"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One number of customers and what it shows, in words."""

    customers: str
    total: str
    answers: str
    power: str
    smallest: str
    is_plan: bool


def amount(scale: str | None, value: float | None) -> str:
    """A figure of an outcome: `4.05`, `38.2%`, `€61.90`."""
    if value is None:
        return str(_("not known"))
    if scale == Scale.MONEY:
        return web.money(value)
    return web.percent(value, 1) if scale == Scale.BINARY else web.number(value, 2)


def gap(scale: str | None, value: float | None) -> str:
    """A difference without its sign; that of a share in percentage points."""
    if value is None:
        return str(_("not known"))
    if scale == Scale.BINARY:
        return str(_("%(number)s percentage points", number=web.number(100 * abs(value), 1)))
    if scale == Scale.RATING:
        return str(_("%(number)s points", number=web.number(abs(value), 2)))
    return amount(scale, abs(value))


def brief(scale: str | None, value: float | None) -> str:
    """A difference without its sign, where there is little room."""
    if value is not None and scale == Scale.BINARY:
        return str(_("%(number)s pp", number=web.number(100 * abs(value), 1)))
    return gap(scale, value)


def signed(scale: str | None, value: float | None) -> str:
    """A difference with its sign."""
    if not value:
        return str(_("no difference")) if value is not None else gap(scale, None)
    sign = "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{gap(scale, value)}"


def chance(value: float | None) -> str:
    """A chance in whole percent; never 0 or 100 % unless it is."""
    if value is None:
        return str(_("not known"))
    if 0 < value < 0.005:
        return f"< {web.percent(0.01)}"
    return f"> {web.percent(0.99)}" if 0.995 <= value < 1 else web.percent(value)


def reason(text: str) -> str:
    """Why something is not known; what others say stays in their words."""
    return str(REASONS.get(text, text))


def sentence(power: PlanPower, found: OutcomePower) -> str:
    """What the size of the plan shows of one outcome."""
    if not found.planned:
        return str(_("What can be shown is not known: %(reason)s.", reason=reason(found.reason)))
    return " ".join(_of_arm(power, found, point) for point in found.planned)


def _of_arm(power: PlanPower, found: OutcomePower, point: Point) -> str:
    scale, size = found.baseline.scale, _size(power, found, point)
    if found.margin is not None and found.baseline.effect_origin == "margin":
        text = _(
            "%(size)s, an arm that is just as good will be shown not to be worse by %(margin)s or more in %(chance)s of all "
            "pilots; the smallest margin that can be shown is %(smallest)s.",
            size=size,
            margin=gap(scale, found.margin),
            chance=chance(point.power),
            smallest=gap(scale, point.smallest),
        )
    elif found.margin is not None:
        text = _(
            "%(size)s, a true difference of %(effect)s will be shown not to be worse by %(margin)s or more in %(chance)s of "
            "all pilots.",
            size=size,
            effect=signed(scale, found.baseline.effect),
            margin=gap(scale, found.margin),
            chance=chance(point.power),
        )
    elif point.smallest is None:
        text = _("%(size)s, no difference can be shown: %(reason)s.", size=size, reason=point.reason)
    else:
        text = _("%(size)s you will see a difference of %(gap)s or more.", size=size, gap=gap(scale, point.smallest))
    return str(text)


def _size(power: PlanPower, found: OutcomePower, point: Point) -> str:
    control, pilot = (web.number(number) for number in point.drawn)
    answering = web.percent(power.assumed.response * (1 - power.assumed.attrition))
    if point.drawn[0] == point.drawn[1] and len(power.plan.arms) == 2:
        if found.baseline.asked:
            return str(_("With %(number)s per arm and %(share)s answering", number=pilot, share=answering))
        return str(_("With %(number)s per arm", number=pilot))
    arm = next(item.label for item in power.plan.arms if item.key == point.arm)
    names = {"control": control, "pilot": pilot, "arm": arm, "share": answering}
    if found.baseline.asked:
        return str(_("With %(control)s in control, %(pilot)s in “%(arm)s” and %(share)s answering", **names))
    return str(_("With %(control)s in control and %(pilot)s in “%(arm)s”", **names))


def needed(found: OutcomePower) -> str:
    """How many customers the planned effect takes."""
    base = found.baseline
    if found.needed is None:
        return str(_("not known"))
    against = found.margin is not None
    total, effect = web.number(found.needed.total), base.effect_for(against_margin=against)
    if not effect:
        return str(_("%(total)s customers altogether if there is no true difference", total=total))
    told = {"total": total, "effect": signed(base.scale, effect)}
    return str(_("%(total)s customers altogether for a true difference of %(effect)s", **told))


def lines(power: PlanPower, found: OutcomePower) -> list[Line]:
    """The grid of sizes."""
    size = min(power.plan.sampling.size, power.frame)
    return [
        Line(
            web.number(point.drawn[1]),
            web.number(point.total),
            web.number(point.answers[1]) if point.answers[1] else "–",
            chance(point.power),
            brief(found.baseline.scale, point.smallest),
            point.total == size,
        )
        for point in found.points
    ]


def baseline(base: Baseline) -> str:
    """What is expected of control, and where that comes from."""
    if base.sd is None:
        return str(_("not known"))
    origin = str(ORIGINS[base.origin])
    if base.scale is Scale.BINARY:
        return str(_("%(share)s (%(origin)s)", share=amount(base.scale, base.mean), origin=origin))
    if base.origin == "assumed":
        return str(_("standard deviation %(sd)s (%(origin)s)", sd=amount(base.scale, base.sd), origin=origin))
    told = {"mean": amount(base.scale, base.mean), "sd": amount(base.scale, base.sd), "origin": origin}
    return str(_("mean %(mean)s, standard deviation %(sd)s (%(origin)s)", **told))


def assumptions(power: PlanPower) -> list[str]:
    """Everything that neither plan nor data say, and how to say it."""
    return list(_assumptions(power))


def _assumptions(power: PlanPower) -> Iterator[str]:
    asked = any(found.baseline.asked for found in power.outcomes)
    if asked and power.assumed.response_origin == "assumed":
        share = web.percent(power.assumed.response)
        yield str(_("%(share)s of those asked answer (expected.response)", share=share))
    if asked and power.assumed.attrition_origin == "assumed":
        yield str(_("nobody is gone before being asked (expected.attrition)"))
    for found in power.outcomes:
        base, key = found.baseline, found.outcome.key
        told = {"outcome": found.outcome.label, "key": key}
        if base.origin == "assumed":
            spread = amount(base.scale, base.mean if base.scale is Scale.BINARY else base.sd)
            name = _("share") if base.scale is Scale.BINARY else _("standard deviation")
            yield str(
                _("%(outcome)s: %(name)s %(spread)s (expected.outcomes.%(key)s)", name=name, spread=spread, **told)
            )
        if base.icc_origin == "assumed":
            yield str(
                _("%(outcome)s: intraclass correlation %(icc)s (expected.icc)", icc=web.number(base.icc, 2), **told)
            )
        if base.effect_origin == "assumed":
            effect = signed(base.scale, base.effect)
            yield str(
                _(
                    "%(outcome)s: a small effect, %(effect)s, a fifth of a standard deviation (expected.outcomes.%(key)s.effect)",
                    effect=effect,
                    **told,
                )
            )


def warnings(power: PlanPower) -> list[str]:
    """What a reader must see beside the numbers."""
    return list(_warnings(power))


def _warnings(power: PlanPower) -> Iterator[str]:
    size, frame = power.plan.sampling.size, power.frame
    if size > frame:
        told = {"size": web.number(size), "frame": web.number(frame)}
        yield str(_("%(size)s customers are to be drawn, but only %(frame)s are eligible.", **told))
    for found in power.outcomes:
        yield from _outcome_warnings(power, found)
    if power.optimistic:
        yield str(
            _(
                "The strata are made of the very orders the baseline is made of: of what is to come they explain less, and a "
                "little more customers are needed than it says here."
            )
        )


def _outcome_warnings(power: PlanPower, found: OutcomePower) -> Iterator[str]:
    label = found.outcome.label
    if found.needed is not None and found.needed.total > power.frame:
        told = {"total": web.number(found.needed.total), "frame": web.number(power.frame)}
        yield str(_("%(outcome)s needs %(total)s customers, and only %(frame)s are eligible.", outcome=label, **told))
    for point in found.planned:
        fewest = min(point.answers)
        if 0 < fewest < FEW:
            yield str(
                _(
                    "%(outcome)s: an arm ends with about %(number)s values, too few.",
                    outcome=label,
                    number=web.number(fewest),
                )
            )
        if point.power is not None and point.power < WANTED:
            effect = found.baseline.effect_for(against_margin=found.margin is not None)
            told = {"outcome": label, "effect": signed(found.baseline.scale, effect), "chance": chance(point.power)}
            if effect:
                yield str(_("%(outcome)s: %(effect)s would be shown with a chance of %(chance)s only.", **told))
            else:
                yield str(_("%(outcome)s: an arm just as good would be shown to be so in %(chance)s only.", **told))
    if clusters_disregarded(power.plan, found):
        yield str(
            _(
                "%(outcome)s: whole clusters are assigned, but its analysis takes customers for independent of each other: its "
                "intervals come out too narrow.",
                outcome=label,
            )
        )


def truth(tried: Tried) -> str:
    """Whether false alarms are as many as the analysis says."""
    return str(TRUTHS[tried.verdict])


def arm_label(plan: Plan, key: str) -> str:
    """How the plan calls an arm."""
    return next((arm.label for arm in plan.arms if arm.key == key), key)
