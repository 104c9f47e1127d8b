"""Every request that an agent sends to an API server, and why: the one table of its rights."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CLUSTER", "EVENTS", "LEADING", "NAMESPACE", "VERBS", "Verb"]

CLUSTER = ""
NAMESPACE = "the agents'"
EVENTS = "default"
LEADING = True


class Verb(NamedTuple):
    """A verb on a resource (`group/resource[/subresource]`), where, and whether only the leader uses it."""

    resource: str
    verb: str
    why: str
    where: str = CLUSTER
    leading: bool = False


VERBS = (
    *(
        Verb(f"ebpfconductor.io/{programs}", verb, why, leading=LEADING)
        for programs in ("kernelprograms", "userprograms")
        for verb, why in (
            ("list", "the controller follows what is asked for"),
            ("watch", "the controller follows what is asked for"),
            ("get", "a revision is made of the whole spec, of which the controller keeps no copy"),
            ("patch", "the finalizer comes and goes; the policy lets nothing else through"),
        )
    ),
    Verb("ebpfconductor.io/kernelprograms/status", "patch", "how it stands over the fleet", leading=LEADING),
    Verb("ebpfconductor.io/userprograms/status", "patch", "how it stands over the fleet", leading=LEADING),
    Verb("ebpfconductor.io/nodestates", "list", "an agent follows its own, the controller all"),
    Verb("ebpfconductor.io/nodestates", "watch", "an agent follows its own, the controller all"),
    Verb("ebpfconductor.io/nodestates", "get", "an agent reads its own again where a write was refused"),
    Verb("ebpfconductor.io/nodestates", "create", "for a node that is chosen for the first time", leading=LEADING),
    Verb("ebpfconductor.io/nodestates", "patch", "what a node is to run", leading=LEADING),
    Verb("ebpfconductor.io/nodestates", "delete", "of a node that is gone", leading=LEADING),
    Verb("ebpfconductor.io/nodestates/status", "update", "an agent says what it runs; the policy: its own alone"),
    Verb("/nodes", "list", "where programs are placed", leading=LEADING),
    Verb("/nodes", "watch", "where programs are placed", leading=LEADING),
    Verb("/pods", "list", "who stands behind an address"),
    Verb("/pods", "watch", "who stands behind an address"),
    Verb("/services", "list", "who stands behind an address"),
    Verb("/services", "watch", "who stands behind an address"),
    Verb("discovery.k8s.io/endpointslices", "list", "who stands behind an address"),
    Verb("discovery.k8s.io/endpointslices", "watch", "who stands behind an address"),
    Verb("apps/replicasets", "get", "the Deployment that a pod belongs to"),
    Verb("batch/jobs", "get", "the CronJob that a pod belongs to"),
    Verb("coordination.k8s.io/leases", "create", "the first election", NAMESPACE),
    Verb("coordination.k8s.io/leases", "get", "every election, by the Lease's name", NAMESPACE),
    Verb("coordination.k8s.io/leases", "update", "every election, by the Lease's name", NAMESPACE),
    Verb("apps/controllerrevisions", "list", "the controller counts what it made", NAMESPACE, LEADING),
    Verb("apps/controllerrevisions", "watch", "the controller counts what it made", NAMESPACE, LEADING),
    Verb("apps/controllerrevisions", "get", "an agent reads each revision once", NAMESPACE),
    Verb("apps/controllerrevisions", "create", "a spec with its images' tags resolved", NAMESPACE, LEADING),
    Verb("apps/controllerrevisions", "delete", "nobody names it any more", NAMESPACE, LEADING),
    Verb("events.k8s.io/events", "create", "what `kubectl describe` tells of a program", EVENTS, LEADING),
)
"""Registry credentials are apart: `get` on the Secrets that the chart lists, by their names."""
