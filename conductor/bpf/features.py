"""What this machine can do. Probe to explain a failure or to tell a person, not to predict what will work."""

from __future__ import annotations

from collections.abc import Mapping

from conductor.bpf.probes import PROBES, kernel_version
from conductor.bpf.support import Answer, Feature, Support
from conductor.errors import ConductorError

__all__ = ["Answer", "Feature", "Support", "kernel_version", "probe", "probe_all"]

_known: dict[Feature, Support] = {}


def probe(feature: Feature) -> Support:
    """Answer whether this machine has a feature; conclusive answers are kept."""
    if feature in _known:
        return _known[feature]
    try:
        answer = PROBES[feature]()
    except OSError as error:
        answer = Support(Answer.UNKNOWN, f"asking failed: {error.strerror}")
    except ConductorError as error:
        answer = Support(Answer.UNKNOWN, str(error))
    if answer.answer is not Answer.UNKNOWN:
        _known[feature] = answer
    return answer


def probe_all() -> Mapping[Feature, Support]:
    """Answer for every feature, in the order of `Feature`."""
    return {feature: probe(feature) for feature in Feature}
