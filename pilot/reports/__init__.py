"""Outcomes, analysis runs, decision, charts and the PDF."""
