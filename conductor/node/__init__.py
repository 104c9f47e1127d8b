"""This node's part in a cluster: its NodeState becomes wishes, and what came of them its status.

Here: one watch on one object, revisions fetched once and kept on disk, at most two status writes per change. May import
words, decisions and managers. Never here: what other nodes do, any write but that status, the Kubernetes library.
"""
