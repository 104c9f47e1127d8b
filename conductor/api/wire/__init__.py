"""The wire of `agent.v1`: plain functions between generated messages and our words, both ways.

`…_from_wire` parses (an unknown enum value is an error, never a default), `…_to_wire` prints. The agent's handlers
use one half, the client the other; generated messages go no further than these two.
"""

from conductor.api.wire.agent import (
    available_from_wire,
    available_to_wire,
    change_from_wire,
    change_to_wire,
    info_from_wire,
    info_to_wire,
    log_line_from_wire,
    log_line_to_wire,
    usage_from_wire,
    usage_to_wire,
    watch_event_from_wire,
    watch_event_to_wire,
)
from conductor.api.wire.images import (
    credentials_from_wire,
    image_from_wire,
    image_status_from_wire,
    image_status_to_wire,
    progress_from_wire,
    progress_to_wire,
)
from conductor.api.wire.kernel import kernel_from_wire, kernel_to_wire
from conductor.api.wire.user import (
    filter_from_wire,
    spec_from_wire,
    spec_to_wire,
    status_from_wire,
    status_to_wire,
    strategy_from_wire,
)
from conductor.api.wire.values import labels_from_wire

__all__ = [
    "available_from_wire",
    "available_to_wire",
    "change_from_wire",
    "change_to_wire",
    "credentials_from_wire",
    "filter_from_wire",
    "image_from_wire",
    "image_status_from_wire",
    "image_status_to_wire",
    "info_from_wire",
    "info_to_wire",
    "kernel_from_wire",
    "kernel_to_wire",
    "labels_from_wire",
    "log_line_from_wire",
    "log_line_to_wire",
    "progress_from_wire",
    "progress_to_wire",
    "spec_from_wire",
    "spec_to_wire",
    "status_from_wire",
    "status_to_wire",
    "strategy_from_wire",
    "usage_from_wire",
    "usage_to_wire",
    "watch_event_from_wire",
    "watch_event_to_wire",
]
