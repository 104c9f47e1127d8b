"""Schemas: every field of our kinds, written once as a tree of plain data.

Here: the tree, the rules that hang on it, the CustomResourceDefinitions made of it, and the check that refuses a
manifest in the API server's own words. Never here: parsing to values (that is `manifest*.py`), I/O, YAML.
"""
