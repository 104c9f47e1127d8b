"""Fields that steer a fleet: checked everywhere, used by the controller alone."""

from __future__ import annotations

import re

from conductor.errors import InvalidSpec
from conductor.model.manifest_fields import Fields, shown

__all__ = ["check_fleet_fields"]

_TYPES = {"Overlap": None, "Recreate": None}
_OPERATORS = {"In": None, "NotIn": None, "Exists": None, "DoesNotExist": None}
_PERCENT = re.compile(r"(100|[1-9]?[0-9])%")


def check_fleet_fields(spec: Fields) -> None:
    """Check `nodeSelector` and `updateStrategy`; on a machine without a cluster they mean nothing."""
    selector = spec.fields("nodeSelector")
    selector.words("matchLabels", longest=63)
    selector.records("matchExpressions", _check_expression)
    selector.refuse_unknown()
    strategy = spec.fields("updateStrategy")
    strategy.choice("type", _TYPES, default="Overlap")
    strategy.flag("pause", default=False)
    strategy.flag("rollbackOnFailure", default=True)
    for key in ("maxUnavailable", "canary"):
        _check_share(strategy, key)
    strategy.refuse_unknown()


def _check_expression(expression: Fields) -> None:
    expression.text("key", most=316)
    expression.choice("operator", _OPERATORS)
    expression.texts("values", longest=63)


def _check_share(fields: Fields, key: str) -> None:
    value = fields.value(key)
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000
    if value is not None and not is_count and not (isinstance(value, str) and _PERCENT.fullmatch(value)):
        raise InvalidSpec(fields.at(key), f"{shown(value)} is not a number of nodes or a percentage like 10%")
