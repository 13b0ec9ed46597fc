"""RuleError: a rule that cannot be judged."""

from __future__ import annotations


class RuleError(ValueError):
    """The rule cannot be judged. The message says why and quotes only names."""


class MissingMetricError(RuleError):
    """The installed version of metric pack basic does not have the metric yet."""
