"""Nodes grouped as rows come and go are grouped as a whole cluster counted at once."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from conductor.controller.known import Known
from conductor.model.fleet import (
    MOST_PROGRAMS,
    NODE_STATES,
    NODES,
    USER_PROGRAM,
    USER_PROGRAMS,
    Assignment,
    NodeRow,
    NodeStateRow,
    ProgramReport,
)
from conductor.model.fleet_strategy import ALL_NODES
from conductor.model.labels import Selector
from conductor.model.status import State
from conductor.plan.fleet_census import Census
from tests.controller.test_known import a_program

STEPS = 400
NAMES = [f"p{number}" for number in range(4)]
FILLERS = tuple(Assignment(USER_PROGRAM, f"f{number}", f"up-f{number}", "h") for number in range(MOST_PROGRAMS - 2))


class Course:
    """Random changes of a small cluster."""

    def __init__(self, seed: int) -> None:
        self.random, self.known, self.version = random.Random(seed), Known(wall=lambda: 1000.0), 0

    def step(self) -> None:
        """Let one thing change."""
        node, name = self.random.choice(["n1", "n2", "n3"]), self.random.choice(NAMES)
        self.version += 1
        match self.random.choice(["node", "node gone", "state", "state", "state", "state gone", "program", "gone"]):
            case "node":
                labels = self.random.choice([{}, {"gpu": "yes"}])
                self.known.learn(NodeRow(name=node, labels=labels, ready=self.random.random() < 0.7))
            case "node gone":
                self.known.lose(NODES, node)
            case "state":
                self.known.learn(self.state(node))
            case "state gone":
                self.known.lose(NODE_STATES, node)
            case "program":
                selector = self.random.choice([ALL_NODES, Selector(match_labels={"gpu": "yes"})])
                self.known.learn(replace(a_program(name, version=str(self.version)), selector=selector))
            case _:
                self.known.lose(USER_PROGRAMS, name)

    def state(self, node: str) -> NodeStateRow:
        spec = [self.item(name) for name in NAMES if self.random.random() < 0.6]
        full = FILLERS if self.random.random() < 0.3 else ()
        observed = [self.report(name) for name in NAMES if self.random.random() < 0.6]
        return NodeStateRow(
            name=node,
            resource_version=str(self.version),
            generation=2,
            spec=(*spec, *full)[:MOST_PROGRAMS],
            observed=tuple(observed),
            observed_generation=self.random.choice([1, 2]),
        )

    def item(self, name: str) -> Assignment:
        digest = self.random.choice("ab")
        return Assignment(USER_PROGRAM, name, f"up-{name}-{digest}", digest)

    def report(self, name: str) -> ProgramReport:
        state = self.random.choice([State.RUNNING, State.UPDATING, State.FAILED])
        reason = self.random.choice(["", "VerifierRejected"])
        return ProgramReport(kind=USER_PROGRAM, name=name, hash=self.random.choice("ab"), state=state, reason=reason)


@pytest.mark.parametrize("seed", range(5))
def test_groups_follow_what_is_told(seed: int) -> None:
    course = Course(seed)
    for _ in range(STEPS):
        course.step()
        known = course.known
        assert known.census.groups() == Census.of(known.programs, known.nodes, known.states).groups()


def test_a_copy_does_not_follow() -> None:
    course = Course(9)
    for _ in range(50):
        course.step()
    copy = course.known.world().copied().counted()
    before = {key: {how: set(nodes) for how, nodes in of.items()} for key, of in copy.groups().items()}
    for _ in range(50):
        course.step()
    assert copy.groups() == before
    assert course.known.census.groups() != before
