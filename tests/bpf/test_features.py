from __future__ import annotations

import pytest

from conductor.bpf.features import Answer, Feature, Support, kernel_version, probe, probe_all
from conductor.bpf.perf import pmu_type


@pytest.mark.kernel
def test_every_feature_has_an_answer_that_explains_itself() -> None:
    answers = probe_all()
    assert set(answers) == set(Feature)
    assert all(support.needs for support in answers.values() if support.answer is not Answer.YES)


@pytest.mark.kernel
@pytest.mark.parametrize(
    "feature",
    [
        Feature.LIBBPF,
        Feature.BTF,
        Feature.BPFFS,
        Feature.TRACEFS,
        Feature.RING_BUFFER,
        Feature.TRACEPOINT,
        Feature.RAW_TRACEPOINT,
        Feature.UPROBE,
        Feature.XDP,
        Feature.TC,
    ],
)
def test_what_other_tests_do_is_known_to_work(feature: Feature) -> None:
    assert probe(feature).answer is Answer.YES


@pytest.mark.kernel
def test_tcx_is_told_by_the_kernel_and_not_by_its_version() -> None:
    expected = Answer.YES if kernel_version() >= (6, 6) else Answer.NO
    assert probe(Feature.TCX).answer is expected


@pytest.mark.kernel
def test_missing_kprobes_name_the_option() -> None:
    support = probe(Feature.KPROBE)
    if pmu_type("kprobe") is None:
        assert support == Support(Answer.NO, "a kernel built with CONFIG_KPROBE_EVENTS")
    else:
        assert support.answer is Answer.YES


def test_three_answers_are_no_boolean() -> None:
    with pytest.raises(TypeError, match="no boolean"):
        bool(Support(Answer.NO, "kernel 9"))
