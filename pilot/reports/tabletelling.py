"""The decision table in words, in the language of the page or report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from pilot.experiments.plan import DecisionRow, Plan
from pilot.reports import telling, wording


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: the states, the verdict, and for which arms it was the one that decided."""

    quality: str
    cost: str
    guardrails: str
    verdict: str
    verdict_name: str
    note: str
    arms: str = ""


def rows(plan: Plan, decision: Mapping[str, Any] | None = None) -> list[TableRow]:
    """The table of a plan.

    Args:
        plan: Any.
        decision: As it was recorded, if there is one: the rows it rests on name their arms.
    """
    labels = {arm.key: arm.label for arm in plan.arms}
    used: dict[int | None, list[str]] = {}
    for arm in (decision or {}).get("arms", ()):
        used.setdefault(arm.get("row"), []).append(labels.get(arm["arm"], arm["arm"]))
    return [_row(row, ", ".join(used.get(number, ()))) for number, row in enumerate(plan.decision.rows, start=1)]


def conditions(plan: Plan, found: Any) -> list[str]:
    """The conditions of a look, each in a line."""
    states = {
        "not_worse": {"met": _("not worse"), "refuted": _("worse"), "open": _("unclear")},
        "cheaper": {"met": _("lower"), "refuted": _("higher"), "open": _("unclear")},
    }
    return [
        f"{wording.short(plan.outcome(item['outcome']).label, 60)}: {states[item['name']][item['state']]}"
        for item in found
    ]


def _row(row: DecisionRow, arms: str) -> TableRow:
    anything = _("whatever it is")
    quality = {"not_worse": _("not worse"), "worse": _("worse"), "unclear": _("unclear"), "any": anything}
    cost = {"cheaper": _("lower"), "dearer": _("higher"), "unclear": _("unclear"), "any": anything}
    guardrails = {"held": _("held"), "broken": _("one is broken"), "any": anything}
    return TableRow(
        str(quality[row.quality]),
        str(cost[row.cost]),
        str(guardrails[row.guardrails]),
        row.verdict,
        telling.verdict_name(row.verdict),
        row.note,
        arms,
    )
