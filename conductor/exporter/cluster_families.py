"""Metrics of an agent that belongs to a cluster; others do not declare them."""

from __future__ import annotations

from typing import Final

from conductor.model.metrics import MetricKind, MetricSpec

__all__ = ["CLUSTER"]


def _family(kind: MetricKind, name: str, help_: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=f"conductor_{name}", kind=kind, help=help_, labels=labels)


_COUNTER, _GAUGE, _W = MetricKind.COUNTER, MetricKind.GAUGE, "watch"

CLUSTER: Final = (
    _family(_GAUGE, "cluster_connected", "Whether the API server answers."),
    _family(_GAUGE, "leader", "Whether this agent leads."),
    _family(_COUNTER, "lease_transitions_total", "Times that leadership changed hands, by all agents."),
    _family(_COUNTER, "lease_acquired_total", "Times that this agent began to lead."),
    _family(_COUNTER, "lease_lost_total", "Times that this agent ceased to lead because it could not renew."),
    _family(_COUNTER, "lease_renewals_total", "Renewals of this agent's lead."),
    _family(_COUNTER, "lease_failures_total", "Looks at the Lease, and renewals, that failed."),
    _family(
        _COUNTER, "lease_overran_total", "Times that work had not stopped when another could lead; it was refused."
    ),
    _family(_COUNTER, "controller_errors_total", "Times that the leader's work ended by an error and began anew."),
    _family(_COUNTER, "controller_passes_total", "Times that the leader looked and decided."),
    _family(_COUNTER, "controller_pass_seconds_total", "Time that the leader spent deciding."),
    _family(_GAUGE, "controller_pass_seconds_max", "Longest time that the leader spent on one decision."),
    _family(_GAUGE, "controller_queue_depth", "Programs and nodes that the leader is to look at."),
    _family(_COUNTER, "controller_writes_total", "Changes that the leader made."),
    _family(_COUNTER, "controller_write_bytes_total", "Bytes of changes that the leader sent."),
    _family(_COUNTER, "controller_paced_seconds_total", "Time for which the leader's changes were held back."),
    _family(_COUNTER, "controller_conflicts_total", "Changes of the leader that were decided anew."),
    _family(_COUNTER, "controller_failures_total", "Changes of the leader that failed and are tried again."),
    _family(_COUNTER, "controller_statuses_deferred_total", "Statuses that waited as only their counts had changed."),
    _family(_COUNTER, "controller_images_resolved_total", "Specs whose images' tags were resolved to digests."),
    _family(_COUNTER, "controller_images_unresolved_total", "Tries to resolve an image's tag that failed."),
    _family(_GAUGE, "controller_rows", "Objects that the leader holds."),
    _family(_COUNTER, "node_status_writes_total", "Writes of this node's status."),
    _family(_COUNTER, "node_status_conflicts_total", "Writes of this node's status that were decided anew."),
    _family(_COUNTER, "node_status_failures_total", "Writes of this node's status that failed."),
    _family(_COUNTER, "node_revisions_fetched_total", "Revisions read from the API server."),
    _family(_GAUGE, "kube_watch_rows", "Objects that a watch holds.", _W),
    _family(_COUNTER, "kube_watch_events_total", "Events that a watch heard.", _W),
    _family(_COUNTER, "kube_watch_lists_total", "Lists that a watch made, its first one too.", _W),
    _family(_COUNTER, "kube_watch_reconnects_total", "Streams opened again where the last one ended.", _W),
    _family(_COUNTER, "kube_watch_failures_total", "Lists and streams that failed.", _W),
    _family(_COUNTER, "kube_watch_left_out_total", "Objects past a watch's bound.", _W),
    _family(_COUNTER, "kube_watch_unreadable_total", "Objects that could not be read.", _W),
    _family(_GAUGE, "cluster_addresses", "Addresses that have a name, by what told of them.", "source"),
    _family(_COUNTER, "cluster_addresses_lost_total", "Names that could not be held or found out.", "reason"),
)
"""Written from the cluster's side of the agent."""
