"""Fields of both programs that steer a fleet: on which nodes, and how a change reaches them."""

from __future__ import annotations

from conductor.model.schema.labels import label_selector
from conductor.model.schema.rules import DurationBetween, Matches
from conductor.model.schema.tree import Node, amount, flag, record, text, word

__all__ = ["KERNEL_UPDATE_STRATEGY", "NODE_SELECTOR", "USER_UPDATE_STRATEGY"]

SHARE = "^(100|[1-9]?[0-9])%$"

NODE_SELECTOR: Node = label_selector(
    "Nodes that run it, by their labels; all of them where this is left out. Readiness plays no part.",
    of="node",
    most=64,
)

_TYPES = ("Overlap", "Recreate")
_PACE: dict[str, Node] = {
    "maxUnavailable": amount(
        "Nodes that may change at a time: a number, or a percentage of those chosen, rounded down but never to none.",
        pattern=SHARE,
        default=1,
        minimum=1,
        maximum=1_000_000,
    ),
    "canary": amount(
        "Nodes that change first and are watched for the soak time: a number, or a percentage, rounded up. 0: none.",
        pattern=SHARE,
        default=1,
        minimum=0,
        maximum=1_000_000,
    ),
    "soak": text(
        "How long the canaries must run without failing, such as 30s, 5m or 1h.",
        most=16,
        pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$",
        default="30s",
        rules=(DurationBetween(least="0s", most="24h", message="must be between 0s and 24h", numbers=False),),
    ),
    "pause": flag("Keep every node as it is until this is false again.", default=False),
    "rollbackOnFailure": flag(
        "Return to the last good revision where the new one is refused, quarantined or loses nodes.", default=True
    ),
}

KERNEL_UPDATE_STRATEGY: Node = record(
    "How a change reaches the nodes. A machine without a cluster checks it and does nothing with it.",
    {
        "type": word(
            "Overlap, always: the new version is attached before the old one ends.",
            _TYPES,
            default="Overlap",
            rules=(
                Matches(pattern="Overlap", message="a KernelProgram is replaced make before break; leave type out"),
            ),
        ),
        **_PACE,
    },
)

USER_UPDATE_STRATEGY: Node = record(
    "How a change reaches the nodes. A machine without a cluster heeds the type alone.",
    {
        "type": word(
            "Overlap: the new version is proven before the old one ends. Recreate: the old one ends first.",
            _TYPES,
            default="Overlap",
        ),
        **_PACE,
    },
)
