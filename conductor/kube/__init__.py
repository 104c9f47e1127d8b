"""The world of a Kubernetes cluster: its API server, watched and written, and the Lease that makes a leader.

Here: one client over plain dicts, watches that survive what API servers do, leader election. kubernetes-asyncio's REST
client carries the bytes. May import errors, model, ports. Never here: what a cluster should hold, or what its objects
mean to a node.
"""
