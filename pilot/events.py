"""Typed events: what happened, told to observers once it is durable (see `pilot.db.transaction`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. Subclasses carry ids and plain values, never live database objects."""


@dataclass(frozen=True, slots=True)
class ImportFinished(Event):
    """An import was committed. `kind` is customers, orders or touches."""

    import_id: int
    kind: str
    accepted: int
    rejected: int


@dataclass(frozen=True, slots=True)
class CustomerMoved(Event):
    """A customer crossed from one segment (None: none before) to another."""

    customer_id: int
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class HandlingChanged(Event):
    """A customer is looked after by another handling channel (None: by none before)."""

    customer_id: int
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class ValuableCustomerSlows(Event):
    """A customer of the most valuable fifth was active and is no longer: `before` and `after` are activity states."""

    customer_id: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ExperimentMoved(Event):
    """An experiment changed its state."""

    experiment_id: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class MailQueued(Event):
    """Messages of one kind were put into the outbox."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class MailSettled(Event):
    """A message left the outbox: `state` is sent, failed, uncertain or withdrawn."""

    message_id: int
    kind: str
    state: str


@dataclass(frozen=True, slots=True)
class AnswerReceived(Event):
    """A customer completed a survey. Carries no answer and no arm."""

    invitation_id: int
    wave_id: int
