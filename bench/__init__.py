"""Measurements against rivals in the same run: `nox -s bench`; every figure is a ratio, none is asserted."""
