"""The async client of an agent, for scripts and the command line.

    async with Agent.connect() as agent:
        info = await agent.load("service_map", config={"interval": 5})
        async for event in agent.watch():
            print(event.type, event.status)

Answers are values of `conductor.model`, refusals are the `ConductorError`s that the agent raised.
May import errors, model, proto and `api.wire`, `api.codec`, `api.status`.
"""

from conductor.client.agent import DEFAULT_SOCKET, Agent
from conductor.client.requests import Wish

__all__ = ["DEFAULT_SOCKET", "Agent", "Wish"]
