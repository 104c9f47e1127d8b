"""Doors: the gRPC service `agent.v1.agent`, HTTP, and the translation between the wire and our words.

May import errors, model, plan, ports, proto, exporter, managers. Generated messages stay inside `wire.py`.
"""
