"""Handlers of `agent.v1.agent`, by what they are about."""
