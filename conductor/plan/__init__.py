"""Decisions: pure functions from what is wished and what is observed to actions and conditions.

Here: merging of wishes, planning, conditions, back-off. May import errors and model. Never here: I/O, clocks
(time is an argument), logging, randomness (jitter is an argument).
"""
