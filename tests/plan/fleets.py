"""Fleets that tests of rollouts begin with."""

from __future__ import annotations

from conductor.model.fleet import FleetKey
from conductor.model.fleet_status import FleetStatus, Phase
from conductor.model.fleet_strategy import Strategy
from tests.fakes.fleet import Fleet

__all__ = ["QUICK", "SOAK", "a_fleet", "claim"]

QUICK = Strategy(soak=0.0)
SOAK = Strategy(soak=30.0)


def a_fleet(*nodes: str, strategy: Strategy = QUICK) -> tuple[Fleet, FleetKey]:
    """A fleet on which version A has come to its end."""
    fleet = Fleet(*nodes)
    key = fleet.apply("p", "A", strategy=strategy)
    fleet.run(strategy.soak)
    assert fleet.status(key).phase is Phase.IDLE
    assert set(fleet.assigned(key).values()) == {"A"}
    return fleet, key


def claim(status: FleetStatus, type_: str) -> tuple[bool, str]:
    """Whether a condition holds, and why."""
    found = status.condition(type_)
    assert found is not None
    return found.status, found.reason
