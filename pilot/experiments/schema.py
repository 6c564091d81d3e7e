"""The JSON Schema of plans, made from the code: the plan's model, and the settings of every part that is installed."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from pilot.experiments.eligibility import CLUSTER_FIELDS, STRATUM_FIELDS
from pilot.experiments.plan import Plan
from pilot.parts import Part
from pilot.plugins.manager import plugins

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/{model}"
_ANY_PART = _REF.format(model="PartChoice")
_CHOICES = (
    ("Population", "rule", "segment_rules"),
    ("Sampling", "design", "sampling_designs"),
    ("Plan", "assignment", "assignment_designs"),
    ("PlannedOutcome", "source", "outcomes"),
    ("PlannedAnalysis", "analysis", "analyses"),
)
"""Which section of the plan chooses a part of which kind under which key."""


def plan_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of a plan on this installation: what it accepts, `Plan` may still find inconsistent."""
    schema = Plan.model_json_schema(ref_template=_REF)
    definitions = schema["$defs"]
    for section, name, kind in _CHOICES:
        owner = schema if section == "Plan" else definitions[section]
        owner["properties"][name] = _pointed(owner["properties"][name], _REF.format(model=kind))
        definitions[kind] = {"oneOf": [_choice(part, definitions) for part in plugins().all(kind)]}
    del definitions["PartChoice"]
    channels = [part.key for part in plugins().all("handling_channels")]
    definitions["Arm"]["properties"]["channel"] |= {"enum": channels}
    sampling = definitions["Sampling"]["properties"]
    sampling["strata"]["items"] |= {"enum": list(STRATUM_FIELDS)}
    sampling["cluster"] |= {"enum": ["", *CLUSTER_FIELDS]}
    return {"$schema": DIALECT, **schema}


def _pointed(schema: Any, target: str) -> Any:
    """A piece of schema that names any part, naming the parts of one kind instead."""
    if isinstance(schema, dict):
        return {key: target if value == _ANY_PART else _pointed(value, target) for key, value in schema.items()}
    return [_pointed(item, target) for item in schema] if isinstance(schema, list) else schema


def _choice(part: type[Part], definitions: dict[str, Any]) -> dict[str, Any]:
    settings = TypeAdapter(part).json_schema(ref_template=_REF)
    definitions |= settings.pop("$defs", {})
    settings["additionalProperties"] = False
    required = ["part", "settings"] if settings.get("required") else ["part"]
    return {
        "title": part.label,
        "type": "object",
        "properties": {"part": {"const": part.key}, "settings": settings},
        "required": required,
        "additionalProperties": False,
    }
