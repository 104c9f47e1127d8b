"""Words: frozen values that every layer shares.

Here: what was asked for (`…Spec`), what is kept on disk (`…Record`), what was observed (`…Status`), what passes
through (`…Output`), and the parsers that make them. Never here: I/O, clocks, logging, third parties.
"""
