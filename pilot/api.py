"""Every name a plugin author may import; all else is private and may change.

A plugin is a module with functions marked `@hookimpl`, named in the entry point group `pilot.plugins`.
"""

from pilot.analysis import (
    Analysis,
    ArmSummary,
    Check,
    Clusters,
    Comparison,
    Evidence,
    Expected,
    Joint,
    Moments,
    Need,
    NotEnoughData,
    Rows,
    Scale,
)
from pilot.customers.engines import (
    ChannelRow,
    CohortRow,
    Concentration,
    ContactRow,
    FactProfile,
    Facts,
    Measure,
    Member,
    MonthRow,
    OrderEngine,
    Piece,
    Retold,
    Study,
    SumRow,
)
from pilot.customers.importers import Importer, Reading, Record, Row, RowError, Table
from pilot.customers.models import Customer, CustomerProfile
from pilot.customers.rules import NestedRule, NestedRules, SegmentRule, most_valuable, rules_from
from pilot.errors import InputError, PilotError
from pilot.events import (
    AnswerReceived,
    CustomerMoved,
    Event,
    ExperimentMoved,
    HandlingChanged,
    ImportFinished,
    MailQueued,
    MailSettled,
    ValuableCustomerSlows,
)
from pilot.experiments.assignment import Allocation, AssignmentDesign
from pilot.experiments.models import Experiment, Unit
from pilot.experiments.plan import Plan
from pilot.experiments.sampling import (
    Floats,
    Frame,
    Ints,
    Keys,
    Sample,
    SamplingDesign,
    by_chance,
    by_chance_within,
    fraction,
    grouped,
    ranks,
)
from pilot.handling.channels import HandlingChannel
from pilot.handling.models import Case
from pilot.mail.models import OutboxMessage
from pilot.mail.transports import Connection, MailTransport, Receipt
from pilot.parts import Part
from pilot.plugins.hookspecs import hookimpl
from pilot.reports.outcomes import Outcome, Scope
from pilot.reports.sections import ReportSection
from pilot.surveys.questions import Form, QuestionType, Text

__all__ = [
    "Allocation",
    "Analysis",
    "AnswerReceived",
    "ArmSummary",
    "AssignmentDesign",
    "Case",
    "ChannelRow",
    "Check",
    "Clusters",
    "CohortRow",
    "Comparison",
    "Concentration",
    "Connection",
    "ContactRow",
    "Customer",
    "CustomerMoved",
    "CustomerProfile",
    "Event",
    "Evidence",
    "Expected",
    "Experiment",
    "ExperimentMoved",
    "FactProfile",
    "Facts",
    "Floats",
    "Form",
    "Frame",
    "HandlingChanged",
    "HandlingChannel",
    "ImportFinished",
    "Importer",
    "InputError",
    "Ints",
    "Joint",
    "Keys",
    "MailQueued",
    "MailSettled",
    "MailTransport",
    "Measure",
    "Member",
    "Moments",
    "MonthRow",
    "Need",
    "NestedRule",
    "NestedRules",
    "NotEnoughData",
    "OrderEngine",
    "OutboxMessage",
    "Outcome",
    "Part",
    "Piece",
    "PilotError",
    "Plan",
    "QuestionType",
    "Reading",
    "Receipt",
    "Record",
    "ReportSection",
    "Retold",
    "Row",
    "RowError",
    "Rows",
    "Sample",
    "SamplingDesign",
    "Scale",
    "Scope",
    "SegmentRule",
    "Study",
    "SumRow",
    "Table",
    "Text",
    "Unit",
    "ValuableCustomerSlows",
    "by_chance",
    "by_chance_within",
    "fraction",
    "grouped",
    "hookimpl",
    "most_valuable",
    "ranks",
    "rules_from",
]
