"""Experiments to be handled are made as the tests of the experiments make them."""

from ..experiments.conftest import _spring, base, bring_to, document  # noqa: F401
