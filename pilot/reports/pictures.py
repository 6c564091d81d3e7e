"""From results to pictures: which numbers are drawn, under which labels, and what stands in for them as text."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

from flask_babel import gettext as _

from pilot.analysis import ArmSummary, Comparison, Evidence, NotEnoughData, Scale, wilson
from pilot.pictures import Picture
from pilot.reports import charts, telling, wording
from pilot.reports.decision import ArmVerdict, Condition
from pilot.reports.material import Material, Result
from pilot.reports.wording import Figures

LEVEL = 0.95
"""Of the intervals of an arm's own mean."""

_SHORT = 34
"""Letters of an arm's name that fit into a picture."""


def verdict(material: Material, arm: ArmVerdict) -> Picture | None:
    """Both halves of the decision rule: each difference with its interval against its threshold."""
    panels = [panel for condition in arm.conditions if (panel := _condition(material, condition, arm.arm))]
    if not panels:
        return None
    told = (material.shown(condition.outcome, arm.arm) for condition in arm.conditions)
    return charts.differences(panels, " ".join(telling.effect(material, item) for item in told if item))


def outcome(material: Material, shown: Sequence[Result]) -> Picture | None:
    """One outcome: what each arm did, and the difference of each pilot arm to control; None where an arm has no data.

    Args:
        material: Of the report.
        shown: The result that stands for the outcome, for each pilot arm.
    """
    own = _own(material, shown)
    if own is None:
        return None
    control = wording.short(material.arm_label(shown[0].evidence.arms[0]), _SHORT)
    panel = _panel(material, shown, _("Difference to %(control)s", control=control))
    drawn: Sequence[charts.Shares | charts.Bar] = own.arms if isinstance(own, charts.Distribution) else own.bars
    alt = " ".join([*(_spoken(item) for item in drawn), *(telling.effect(material, item) for item in shown)])
    return charts.outcome(own, panel, alt)


def _condition(material: Material, condition: Condition, arm: str) -> charts.Panel | None:
    result = material.shown(condition.outcome, arm)
    if result is None:
        return None
    return _panel(material, [result], material.outcome_label(condition.outcome), threshold=condition.threshold)


def _panel(
    material: Material, results: Sequence[Result], title: str, threshold: float | None = None
) -> charts.Panel | None:
    """Differences on one axis; `threshold` is the margin of the outcome if none is given."""
    planned = material.outcome(results[0].outcome)
    figures = Figures.of(results[0].evidence)
    lines = [line for item in results if (line := _line(material, item, figures, labelled=len(results) > 1))]
    if planned is None or not lines:
        return None
    harm = -1 if planned.higher_is_better else 1
    if threshold is None and planned.margin is not None:
        threshold = harm * planned.margin
    return charts.Panel(
        title=wording.short(title, 40),
        lines=lines,
        threshold=threshold,
        harm=harm,
        threshold_text=_("margin %(margin)s", margin=figures.difference(threshold)) if threshold else "",
        zero_text=_("no difference"),
        worse=_("worse"),
        better=_("better"),
        tick=figures.tick(),
    )


def _line(material: Material, result: Result, figures: Figures, *, labelled: bool) -> charts.Line | None:
    found = result.found
    if isinstance(found, NotEnoughData) or found.estimate is None:
        return None
    place = [arm.key for arm in material.plan.arms].index(found.arm) - 1
    label = wording.short(material.arm_label(found.arm), 20) if labelled else ""
    return charts.Line(label, place, found.estimate, found.low, found.high, figures.difference(found.estimate))


def _own(material: Material, shown: Sequence[Result]) -> charts.Distribution | charts.Means | None:
    """The arms' own numbers: how a rating spreads over its levels, else a mean or share with its interval."""
    if not shown:
        return None
    evidence = shown[0].evidence
    if evidence.scale is Scale.RATING and evidence.counts is not None:
        shares = _shares(material, evidence)
        levels = [wording.number(level, 0) for level in evidence.levels]
        return charts.Distribution(shares, levels, lambda value: wording.share(value, 0)) if shares else None
    summaries = {arm.arm: arm for item in shown if isinstance(item.found, Comparison) for arm in item.found.arms}
    bars = [bar for arm in summaries.values() if (bar := _bar(material, evidence, arm))]
    return charts.Means(bars) if len(bars) > 1 else None


def _shares(material: Material, evidence: Evidence) -> list[charts.Shares]:
    """One spread per arm; none at all where an arm has no answers."""
    found = []
    for place, arm in enumerate(evidence.arms):
        counts = [] if evidence.counts is None else evidence.counts[place].sum(axis=0).tolist()
        total = sum(counts)
        if total == 0:
            return []
        found.append(charts.Shares(_sized(material, arm, total), place - 1, [n / total for n in counts]))
    return found


def _bar(material: Material, evidence: Evidence, summary: ArmSummary) -> charts.Bar | None:
    """An arm's mean with its normal interval, or its share with Wilson's."""
    if summary.mean is None or summary.n == 0:
        return None
    low = high = None
    if evidence.scale is Scale.BINARY:
        low, high = wilson(round(summary.mean * summary.n), summary.n, LEVEL)
    elif summary.sd is not None:
        half = NormalDist().inv_cdf((1 + LEVEL) / 2) * summary.sd / summary.n**0.5
        low, high = summary.mean - half, summary.mean + half
    text = Figures.of(evidence).value(summary.mean)
    place = evidence.arms.index(summary.arm) - 1
    return charts.Bar(_sized(material, summary.arm, summary.n), place, summary.mean, low, high, text)


def _sized(material: Material, arm: str, n: int) -> str:
    label = wording.short(material.arm_label(arm), _SHORT)
    return str(_("%(arm)s (n = %(n)s)", arm=label, n=wording.count(n)))


def _spoken(item: charts.Shares | charts.Bar) -> str:
    if isinstance(item, charts.Bar):
        return f"{item.label}: {item.text}."
    return f"{item.label}: {', '.join(wording.share(value, 0) for value in item.values)}."
