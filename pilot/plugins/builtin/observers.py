"""What the product itself does when something has happened."""

from __future__ import annotations

from pilot import jobs
from pilot.api import Event, MailQueued, hookimpl


@hookimpl
def on_event(event: Event) -> None:
    """Wake the sender up as soon as there is mail, rather than at its next round."""
    if isinstance(event, MailQueued):
        jobs.nudge("mail")
