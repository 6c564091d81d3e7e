"""Pure statistics on counts and moments: plain values in, frozen records out. Knows no web and no database."""

from pilot.analysis.comparison import ArmSummary, Check, Comparison, NotEnoughData
from pilot.analysis.contract import Analysis
from pilot.analysis.evidence import Evidence, Moments, Need, Scale

__all__ = ["Analysis", "ArmSummary", "Check", "Comparison", "Evidence", "Moments", "Need", "NotEnoughData", "Scale"]
