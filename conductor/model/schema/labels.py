"""Label selectors: which objects are meant, by their labels."""

from __future__ import annotations

from conductor.model.schema.rules import NeededFor, OnlyFor
from conductor.model.schema.tree import Node, items, mapping, record, text, word

__all__ = ["label_selector"]

KEY = r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
VALUE = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"


def label_selector(about: str, *, of: str, most: int) -> Node:
    """A selector with at most so many demands of each kind, and values in each; an empty one takes all."""
    return record(
        about,
        {
            "matchLabels": mapping(
                "Labels and the values they must have.", text("A value.", most=63, least=0, pattern=VALUE), most=most
            ),
            "matchExpressions": items("Demands that must all hold.", _expression(of, most), most=most),
        },
    )


def _expression(of: str, most: int) -> Node:
    return record(
        f"What one label of a {of} must be.",
        {
            "key": text("Key of the label.", most=317, pattern=KEY),
            "operator": word("How the label is compared.", ("In", "NotIn", "Exists", "DoesNotExist")),
            "values": items(
                "Values for In and NotIn.", text("A value.", most=63, least=0, pattern=VALUE), most=most, least=1
            ),
        },
        required=("key", "operator"),
        rules=(
            NeededFor(
                needed="values",
                key="operator",
                words=("In", "NotIn"),
                message="operators In and NotIn need values",
                field=".values",
            ),
            OnlyFor(
                only="values",
                key="operator",
                words=("In", "NotIn"),
                message="operators Exists and DoesNotExist take no values",
                field=".values",
            ),
        ),
    )
