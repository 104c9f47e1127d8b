"""The command line: one file per command group. Imports everything, imported by nobody."""
