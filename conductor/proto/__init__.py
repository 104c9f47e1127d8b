"""The `.proto` contracts and the modules generated from them; nothing hand-written besides.

`nox -s proto` writes the modules again; a test says when they are stale and when a published number changed.
"""
