"""What built-ins are made of: the protocol, config, the build of kernel halves, key tables, totals that never go down.

May import errors, model, ports and numpy. A file here serves more than one stem; what serves one lives with its stem.
"""
