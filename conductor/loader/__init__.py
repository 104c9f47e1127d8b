"""`conductor loader`: the small privileged daemon that serves `bpfman.v1.Bpfman` where there is no bpfman.

The only privileged code. Runs in a process of its own; may import bpf, net, proto, plan, ports and the words.
Never here: registries, Kubernetes, user programs.
"""
