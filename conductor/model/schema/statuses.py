"""What is observed: the status of programs over the fleet, and the state of one node."""

from __future__ import annotations

from conductor.model.schema.programs import NAME_LENGTH
from conductor.model.schema.tree import Node, flag, integer, items, keyed, record, text, word
from conductor.model.status import State

__all__ = ["FLEET_STATUS", "NODE_SPEC", "NODE_STATUS", "PROGRAMS_PER_NODE"]

PROGRAMS_PER_NODE = 64
PHASES = ("Idle", "Canary", "Soaking", "Rolling", "Paused", "RolledBack")
_TIME = 40
_KIND = word("Kind of the program.", ("KernelProgram", "UserProgram"))
_NAME = text("Name of the program.", most=NAME_LENGTH)
_HASH = text("Hash of the revision's content, in hexadecimal.", most=64, pattern="^[0-9a-f]{64}$")


def _when(about: str) -> Node:
    return text(about, most=_TIME, form="date-time")


def _nodes(about: str) -> Node:
    return integer(about)


_CONDITION = record(
    "One thing that is true of it, false, or not known.",
    {
        "type": text("Ready, Progressing or Degraded.", most=64),
        "status": word("Whether it is so.", ("True", "False", "Unknown")),
        "observedGeneration": integer("Generation of the object that it is about.", most=(1 << 53) - 1),
        "lastTransitionTime": _when("When the status last changed."),
        "reason": text("One word for the reason.", most=128, least=0),
        "message": text("A sentence that says what to do.", most=1024, least=0),
    },
    required=("type", "status"),
)
_FAILURE = record(
    "A node on which it does not run.",
    {
        "node": text("Name of the node.", most=253),
        "reason": text("One word for the reason.", most=128, least=0),
        "message": text("A sentence that says what to do.", most=1024, least=0),
    },
    required=("node",),
)

FLEET_STATUS: Node = record(
    "What is observed of it over all nodes. Written by the agent that leads.",
    {
        "observedGeneration": integer("Generation of the object that this is about.", most=(1 << 53) - 1),
        "revision": text("The last good revision (a ControllerRevision).", most=253, least=0),
        "updateRevision": text("The revision that nodes are brought to.", most=253, least=0),
        "phase": word("Where the change stands.", PHASES),
        "phaseSince": _when("When the phase began."),
        "nodes": record(
            "Nodes, counted.",
            {
                "desired": _nodes("Nodes that are chosen."),
                "updated": _nodes("Of them, those that have the update revision."),
                "ready": _nodes("Of them, those on which it runs."),
                "failed": _nodes("Of them, those on which it failed."),
                "unreachable": _nodes("Of them, those that are not ready: nothing new is known of them."),
            },
        ),
        "failures": items("The first few nodes on which it failed, and why.", _FAILURE, most=5),
        "conditions": keyed("Ready, Progressing and Degraded.", _CONDITION, keys=("type",), most=8),
    },
)

NODE_SPEC: Node = record(
    "What this node is to run: references only. Written by the agent that leads.",
    {
        # One writer writes a list whole: as a map, the server would keep an entry of managedFields for each field of
        # each item, more than the items themselves take.
        "programs": items(
            "Programs of this node.",
            record(
                "A program and its revision.",
                {
                    "kind": _KIND,
                    "name": _NAME,
                    "revision": text("Name of the ControllerRevision that holds its spec.", most=253),
                    "hash": _HASH,
                },
                required=("kind", "name", "revision", "hash"),
            ),
            most=PROGRAMS_PER_NODE,
        )
    },
)

NODE_STATUS: Node = record(
    "What this node says. Written by its own agent, when something changed and not for counters.",
    {
        "observedGeneration": integer("Generation of the object that this is about.", most=(1 << 53) - 1),
        "agent": record(
            "The agent of the node.",
            {
                "version": text("Version of the agent.", most=128, least=0),
                "road": text("Socket of the kernel daemon; empty where none answers.", most=256, least=0),
                "flavour": text("Which daemon that is.", most=128, least=0),
                "ready": flag("Whether the agent has done what it was asked for at least once."),
            },
        ),
        "programs": items(
            "Programs of this node, one short row each.",
            record(
                "Where a program stands.",
                {
                    "kind": _KIND,
                    "name": _NAME,
                    "hash": text("Hash of the revision that this is about.", most=64, least=0),
                    "state": word("Where it stands.", [state.word for state in State]),
                    "reason": text("One word for the reason.", most=128, least=0),
                    "message": text("A sentence that says what to do.", most=256, least=0),
                    "since": _when("Since when it stands there."),
                },
                required=("kind", "name", "state"),
            ),
            most=PROGRAMS_PER_NODE,
        ),
    },
)
