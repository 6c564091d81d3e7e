"""What outsiders need to check a draw: the frame's file, and everything else the draw depends on as one document."""

from __future__ import annotations

import json
from typing import Any

from pilot.accounts.service import Actor, record
from pilot.db import transaction
from pilot.experiments.eligibility import stored_file
from pilot.experiments.models import Experiment
from pilot.experiments.plan import canonical, plan_hash
from pilot.experiments.sealing import plan_drawn, plan_of
from pilot.experiments.states import get, subject


def frame_file(actor: Actor, key: str) -> bytes:
    """The frame as it was sealed, byte for byte; that it was taken away is recorded.

    Raises:
        CheckFailed: The file is gone or was changed.
        StateError: Nothing has been sealed.
    """
    actor.require("operations", "analyst")
    with transaction():
        experiment = get(key)
        data = stored_file(experiment)
        record(actor, "frame downloaded", subject(key), digest=experiment.frame_digest, customers=experiment.frame_size)
    return data


def draw_document(experiment: Experiment) -> dict[str, Any]:
    """Plan, hashes, public value and seed: with the frame's file all that a draw is made of.

    Raises:
        CheckFailed: The plan was edited behind the product's back.
    """
    plan = plan_drawn(experiment) if experiment.drawn_at else plan_of(experiment)
    names = ("key", "frame_digest", "frame_size", "public_value", "seed", "algorithm")
    facts = {name: getattr(experiment, name) for name in names}
    return {**facts, "plan_hash": plan_hash(plan), "plan": json.loads(canonical(plan))}
