"""Built-in sections of the report: the board's page, the flow, the results, the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from pilot.api import ArmSummary, Comparison, Evidence, NotEnoughData, ReportSection, Scale, hookimpl
from pilot.experiments.plan import PlannedOutcome
from pilot.reports import pictures, tabletelling, telling, wording
from pilot.reports.decision import ArmVerdict
from pilot.reports.flow import Flow
from pilot.reports.material import Material, Result
from pilot.reports.wording import Figures


@dataclass(frozen=True)
class Summary(ReportSection):
    """The board's page: verdict, three numbers, one picture, what to do next."""

    key = "summary"
    label = "Summary"
    template = "summary.html"
    position = 10

    def context(self, material: Material) -> dict[str, Any] | None:
        """The verdict on every pilot arm; before the decision there is none to print."""
        if material.decision is None:
            return None
        return {
            "overall": telling.overall(material.decision) if len(material.decision.arms) > 1 else "",
            "sample": sum(flow.assigned for flow in material.flow),
            "arms": [_board(material, arm) for arm in material.decision.arms],
        }


@dataclass(frozen=True)
class FlowSection(ReportSection):
    """What became of every assigned customer, per arm."""

    key = "flow"
    label = "Flow of customers"
    template = "flow.html"
    position = 20

    def context(self, material: Material) -> dict[str, Any] | None:
        """Columns of steps with the losses between them, and the sample-ratio checks."""
        columns = [_column(material, flow) for flow in material.flow]
        return {
            "labels": [material.arm_label(flow.arm) for flow in material.flow],
            "rows": list(zip(*columns, strict=True)),
            "ratios": [_ratio(material, result) for result in material.ratios],
        }


@dataclass(frozen=True)
class Results(ReportSection):
    """Every outcome: the arms' own numbers, the difference with its interval, picture and method."""

    key = "results"
    label = "Results"
    template = "results.html"
    position = 30

    def context(self, material: Material) -> dict[str, Any] | None:
        """One block per analysed outcome."""
        ranks = {"primary": 0, "guardrail": 1, "secondary": 2}
        outcomes = sorted(material.plan.outcomes, key=lambda outcome: ranks[outcome.role])
        blocks = [_block(material, outcome) for outcome in outcomes if material.of(outcome.key)]
        return {"blocks": blocks} if blocks else None


@dataclass(frozen=True)
class Method(ReportSection):
    """How the pilot was designed, drawn and analysed, and how to repeat it."""

    key = "method"
    label = "Method"
    template = "method.html"
    position = 40

    def context(self, material: Material) -> dict[str, Any] | None:
        """Design, draw, rule, deviations, versions and glossary."""
        return {
            "sample": sum(flow.assigned for flow in material.flow),
            "quality": material.outcome(material.plan.decision.not_worse),
            "cost": material.outcome(material.plan.decision.cheaper),
            "margin": _margin(material),
            "versions": material.results[0].versions if material.results else {},
            "gaps": telling.gaps(material),
            "amendments": material.amendments,
            "looks": material.deviating_looks,
            "table": tabletelling.rows(material.plan, material.decision.as_json() if material.decision else None),
            "unplanned": [
                item for item in material.results if not item.planned or item.plan_hash != material.plan_hash
            ],
            "glossary": _glossary(),
        }


@hookimpl
def register_report_sections() -> list[type[ReportSection]]:
    """The built-in sections."""
    return [Summary, FlowSection, Results, Method]


# --- summary -----------------------------------------------------------------------------------------------------


def _board(material: Material, arm: ArmVerdict) -> dict[str, Any]:
    return {
        "label": material.arm_label(arm.arm),
        "verdict": arm.verdict,
        "headline": telling.headline(material.plan, arm),
        "caveats": telling.caveats(material.plan, arm),
        "numbers": [_number(material, item) for item in _three(material, arm)],
        "picture": pictures.verdict(material, arm),
        "next": telling.next_steps(material, arm),
    }


def _three(material: Material, arm: ArmVerdict) -> list[Result]:
    """The results behind the board's numbers: both halves of the rule, and the first other outcome, guardrails first."""
    halves = [condition.outcome for condition in arm.conditions]
    others = sorted(
        (outcome for outcome in material.plan.outcomes if outcome.key not in halves),
        key=lambda outcome: outcome.role != "guardrail",
    )
    shown = (material.shown(key, arm.arm) for key in [*halves, *(outcome.key for outcome in others)])
    return [item for item in shown if item is not None][:3]


def _number(material: Material, result: Result) -> dict[str, Any]:
    label, figures, found = material.outcome_label(result.outcome), Figures.of(result.evidence), result.found
    if isinstance(found, NotEnoughData):
        return {"label": label, "value": wording.DASH, "interval": wording.short(found.reason), "arms": []}
    limits = figures.interval(found.low, found.high)
    return {
        "label": label,
        "value": figures.difference(found.estimate),
        "interval": _("%(level)s interval %(interval)s", level=wording.level(found.level), interval=limits),
        "arms": [(material.arm_label(arm.arm), figures.value(arm.mean)) for arm in reversed(found.arms)],
    }


# --- flow --------------------------------------------------------------------------------------------------------


def _column(material: Material, flow: Flow) -> list[dict[str, Any]]:
    """The steps of one arm; every arm has the same ones."""
    quality = material.plan.decision.not_worse
    analysed = next((item.with_data(flow.arm) for item in material.of(quality)), 0)
    complete = [(_("stopped half-way"), flow.partial)]
    steps = [
        (_("Assigned"), flow.assigned, []),
        (
            _("Notified of the pilot"),
            flow.notified,
            _mail_losses(flow, flow.notified, flow.notice_failed, flow.notice_withdrawn, flow.notice_uncertain),
        ),
        (
            _("Invited to the survey"),
            flow.invited,
            _mail_losses(
                flow, flow.invited, flow.invitation_failed, flow.invitation_withdrawn, flow.invitation_uncertain
            ),
        ),
        (_("Began to answer"), flow.started, [(_("did not answer"), max(0, flow.invited - flow.started))]),
        (_("Answered completely"), flow.complete, complete),
    ]
    label = _("Analysed: %(outcome)s", outcome=wording.short(material.outcome_label(quality), 44))
    steps.append((label, analysed, [(_("left the question empty"), flow.complete - analysed)]))
    return [
        {
            "label": label,
            "n": wording.count(n),
            "share": wording.share(n / flow.assigned if flow.assigned else None),
            "width": round(100 * n / flow.assigned) if flow.assigned else 0,
            "losses": [(reason, wording.count(lost)) for reason, lost in losses if lost > 0],
        }
        for label, n, losses in steps
    ]


def _mail_losses(flow: Flow, sent: int, failed: int, withdrawn: int, uncertain: int) -> list[tuple[str, int]]:
    return [
        (_("could not be delivered"), failed),
        (_("withdrawn before sending"), withdrawn),
        (_("delivery uncertain"), uncertain),
        (_("not sent"), flow.assigned - sent - failed - withdrawn - uncertain),
    ]


def _ratio(material: Material, result: Result) -> dict[str, str]:
    found = result.found
    base = {"step": telling.step_name(result.outcome), "arm": material.arm_label(result.arm)}
    if isinstance(found, NotEnoughData):
        return {**base, "counts": "", "p": wording.DASH, "text": found.reason, "alarm": "alarm"}
    alarm = result.alarm
    text = _("The arms lost customers unequally here.") if alarm else _("As expected by chance.")
    counts = " / ".join(wording.count(_reached(result.evidence, arm.arm)) for arm in found.arms)
    alarmed = "alarm" if alarm else ""
    return {**base, "counts": counts, "p": wording.p_value(found.p_value), "text": text, "alarm": alarmed}


def _reached(evidence: Evidence, arm: str) -> int:
    """How many customers of an arm came as far as a step of the flow."""
    return 0 if evidence.counts is None else int(evidence.counts[evidence.index(arm), :, -1].sum())


# --- results -----------------------------------------------------------------------------------------------------


def _block(material: Material, outcome: PlannedOutcome) -> dict[str, Any]:
    results = material.of(outcome.key)
    shown = [item for arm in material.plan.arms[1:] if (item := material.shown(outcome.key, arm.key))]
    figures = Figures.of(results[0].evidence)
    return {
        "label": wording.short(outcome.label),
        "role": _role(outcome.role),
        "primary": outcome.role == "primary",
        "sentences": [telling.effect(material, item) for item in shown],
        "picture": pictures.outcome(material, shown),
        "arms": _arm_rows(material, results, figures),
        "spread": figures.scale is not Scale.BINARY,
        "comparisons": [_comparison_row(material, item, figures) for item in results],
        "levels": sorted({item.found.level for item in results if isinstance(item.found, Comparison)}),
        "warnings": list(
            dict.fromkeys(
                text for item in results if isinstance(item.found, Comparison) for text in item.found.warnings
            )
        ),
        "margin": figures.value(outcome.margin) if outcome.margin else "",
        "margin_reason": wording.short(outcome.margin_reason, 300),
        "better": _("higher is better") if outcome.higher_is_better else _("lower is better"),
    }


def _arm_rows(material: Material, results: Sequence[Result], figures: Figures) -> list[dict[str, str]]:
    summaries: dict[str, ArmSummary] = {}
    for item in results:
        if isinstance(item.found, Comparison):
            for summary in item.found.arms:
                summaries.setdefault(summary.arm, summary)
    return [
        {
            "label": material.arm_label(arm.arm),
            "assigned": wording.count(arm.assigned),
            "n": wording.count(arm.n),
            "mean": figures.value(arm.mean),
            "sd": figures.value(arm.sd),
        }
        for arm in summaries.values()
    ]


def _comparison_row(material: Material, result: Result, figures: Figures) -> dict[str, str]:
    found = result.found
    planned = "" if result.planned else _("exploratory")
    if isinstance(found, NotEnoughData):
        return {
            "method": result.analysis,
            "arm": material.arm_label(result.arm),
            "reason": found.reason,
            "planned": planned,
        }
    return {
        "method": found.method,
        "arm": material.arm_label(found.arm),
        "estimate": figures.difference(found.estimate),
        "interval": figures.interval(found.low, found.high),
        "level": wording.level(found.level),
        "p": wording.p_value(found.p_value),
        "reason": "",
        "planned": planned,
    }


def _margin(material: Material) -> str:
    key = material.plan.decision.not_worse
    outcome, figures = material.outcome(key), material.figures(key)
    return figures.value(outcome.margin) if outcome and figures and outcome.margin else ""


def _role(role: str) -> str:
    return str({"primary": _("Primary"), "secondary": _("Secondary"), "guardrail": _("Guardrail")}[role])


def _glossary() -> list[tuple[str, str]]:
    return [
        (_("Arm"), _("Customers handled in the same way. Chance alone decided who is in which arm.")),
        (
            _("Interval"),
            _("The range of true differences that fit what was seen. A wide interval means: we know little."),
        ),
        (_("Margin"), _("How much worse would still be accepted. It was fixed, with its reason, before the start.")),
        (_("p value"), _("How often chance alone would show a difference at least as large if there were none.")),
        (
            _("Frame and stratum"),
            _("All customers who could have been drawn, and the layers into which they were sorted."),
        ),
        (_("Seal"), _("The plan was frozen under a hash before the draw. Any later change would show.")),
        (_("Sample-ratio check"), _("Whether the arms lost customers as equally as chance would have it.")),
    ]
