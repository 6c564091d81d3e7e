"""The hooks a plugin can implement. Those that register parts collect; none replaces what another registered.

A plugin is a module or object whose functions carry `@pilot.api.hookimpl`, found by the entry point group
`pilot.plugins`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from flask import Blueprint

    from pilot.analysis.contract import Analysis
    from pilot.customers.engines import OrderEngine
    from pilot.customers.importers import Importer
    from pilot.customers.rules import SegmentRule
    from pilot.events import Event
    from pilot.experiments.assignment import AssignmentDesign
    from pilot.experiments.sampling import SamplingDesign
    from pilot.handling.channels import HandlingChannel
    from pilot.mail.models import OutboxMessage
    from pilot.mail.transports import MailTransport
    from pilot.reports.outcomes import Outcome
    from pilot.reports.sections import ReportSection
    from pilot.surveys.questions import QuestionType

PROJECT = "pilot"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_importers() -> list[type[Importer]]:  # type: ignore[empty-body]
    """Parts that read customers, orders or touches from a file: lazy rows or row errors."""


@hookspec
def register_order_engines() -> list[type[OrderEngine]]:  # type: ignore[empty-body]
    """Parts that keep orders and touches in bulk and answer what is asked of them; the settings choose one."""


@hookspec
def register_segment_rules() -> list[type[SegmentRule]]:  # type: ignore[empty-body]
    """Parts that match profile facts and describe themselves in a sentence."""


@hookspec
def register_sampling_designs() -> list[type[SamplingDesign]]:  # type: ignore[empty-body]
    """Parts that draw a sample from a frame: same frame in any order and same seed, same draw."""


@hookspec
def register_assignment_designs() -> list[type[AssignmentDesign]]:  # type: ignore[empty-body]
    """Parts that allocate arms and say each unit's probability."""


@hookspec
def register_handling_channels() -> list[type[HandlingChannel]]:  # type: ignore[empty-body]
    """Parts that look after customers in one way, with its cost rates."""


@hookspec
def register_question_types() -> list[type[QuestionType]]:  # type: ignore[empty-body]
    """Parts that render, validate, score and summarise one kind of survey question."""


@hookspec
def register_mail_transports() -> list[type[MailTransport]]:  # type: ignore[empty-body]
    """Parts that deliver one message: accepted, temporary or permanent failure."""


@hookspec
def register_outcomes() -> list[type[Outcome]]:  # type: ignore[empty-body]
    """Parts that turn orders, touches or answers into evidence by arm."""


@hookspec
def register_analyses() -> list[type[Analysis]]:  # type: ignore[empty-body]
    """Parts that declare the evidence they need and compare arms."""


@hookspec
def register_report_sections() -> list[type[ReportSection]]:  # type: ignore[empty-body]
    """Parts that give context for a template of the report, or have nothing to say."""


@hookspec
def register_blueprints() -> list[Blueprint]:  # type: ignore[empty-body]
    """Pages of a plugin, mounted below `/x/<plugin>/`."""


@hookspec(firstresult=True)
def suppress_delivery(message: OutboxMessage) -> str | None:
    """A reason not to send this message, or None. The first reason wins."""


@hookspec
def on_event(event: Event) -> None:
    """Something happened and is durable. A failing observer is logged with its name and harms nobody."""
