"""The elected part: one agent of the cluster turns programs' specs into what each node is to run, and tells how it goes.

Here: watches that keep rows, a queue of keys, one pass that reads, decides and acts, paced writes. It runs inside the
leader scope alone, over a fenced cluster. May import words, decisions, ports and managers. Never here: what a node does
with its share, the Kubernetes library, a decision that is not `plan`'s.
"""
