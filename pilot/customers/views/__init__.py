"""The pages of the base, by what they are about."""

from pilot.customers.views import base, completion, customers, imports, segments

BLUEPRINTS = (base.bp, customers.bp, imports.bp, segments.bp, completion.bp)

__all__ = ["BLUEPRINTS"]
