"""The page for people: what it shows, and that nothing from outside becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from conductor.api.page import Overview, page_html
from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.kernel import (
    BuiltinObject,
    InterfaceSelector,
    KernelFunctionStatus,
    KernelProgramSpec,
    KernelType,
    LinkStatus,
    TracepointLink,
    XdpLink,
)
from conductor.model.program import Source
from conductor.model.status import Condition, Cost, KernelStatus, State
from tests.api.http_door import program

NOW = 1_763_870_000.0


class Reader(HTMLParser):
    """Collects the cells of every row, and which elements there are."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.elements: set[str] = set()
        self._in_cell = False

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self._in_cell = True

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._in_cell = False

    @override
    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


def read(**fields: Any) -> Reader:
    reader = Reader()
    reader.feed(page_html(Overview(now=NOW, **fields)))
    reader.close()
    return reader


def test_a_program_with_its_cost() -> None:
    status = program("flows", State.RUNNING, since=NOW - 7_300)
    cost = Cost(
        name=Name("flows"), cpu_seconds=1.5, memory_bytes=3 << 20, series=1_234, series_refused=5,
        kernel_run_seconds=0.0123, events_dropped={"full": 2},
    )  # fmt: skip
    row = read(programs=[status], costs=[cost]).rows[1]
    assert row[0] == "flowsBuiltin · grpc · generation 1"
    assert row[1:] == ["Running", "", "2 h", "0", "1,2345 refused", "1.50 s", "3 MiB", "12.3 ms", "2"]


def test_what_is_unknown_is_a_dash() -> None:
    row = read(programs=[program("p")], costs=[Cost(name=Name("p"))]).rows[1]
    assert row[5:] == ["0", "0.00 s", "–", "–", "0"]  # noqa: RUF001
    assert read(programs=[program("p")]).rows[1][5:] == ["–"] * 5  # noqa: RUF001


def test_why_a_program_waits() -> None:
    waiting = program("p", State.WAITING, reason="MapMissing", message="load kernel program k")
    assert read(programs=[waiting]).rows[1][1:3] == ["Waiting", "MapMissing load kernel program k"]


def test_a_kernel_program_with_its_links() -> None:
    xdp = XdpLink(interfaces=InterfaceSelector(names=("eth0",)))
    functions = (
        KernelFunctionStatus(
            name="on_enter", type=KernelType.TRACEPOINT, id=ProgramId(7), run_seconds=0.5, runs=1_000,
            links=(LinkStatus(id=LinkId(1), attach=TracepointLink(name="raw_syscalls/sys_enter")),),
        ),
        KernelFunctionStatus(
            name="drop", type=KernelType.XDP, id=ProgramId(8), run_seconds=0.25, runs=1,
            links=(LinkStatus(id=LinkId(2), attach=xdp, interface="eth0"),),
        ),
    )  # fmt: skip
    spec = KernelProgramSpec(name=Name("k"), bytecode=BuiltinObject(name="k"), programs=())
    status = KernelStatus(
        spec=spec,
        source=Source.FILE,
        condition=Condition(state=State.RUNNING),
        functions=functions,
        needed_by=(Name("p"),),
    )
    row = read(kernel=[status]).rows[-1]
    assert row[0] == "kfor p"
    assert row[4] == "on_enter TracePoint #7raw_syscalls/sys_enterdrop XDP #8eth0"
    assert row[5:] == ["1,001", "750 ms"]


def test_an_empty_agent_says_what_to_do() -> None:
    text = page_html(Overview(now=NOW, ready=False, reasons=["kernel daemon away"]))
    assert "conductor load builtin service_map" in text
    assert "not ready" in text
    assert "<li>kernel daemon away</li>" in text


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = page_html(Overview(now=NOW, programs=[program("p")]))
    assert "src=" not in text
    assert "//" not in text.replace("https://", "").replace("http://", "")
    assert not {"script", "link", "img", "iframe"} & read(programs=[program("p")]).elements


@given(st.text() | st.sampled_from(["<script>alert(1)</script>", '"><img src=x onerror=y>', "&lt;", "'"]))
def test_no_text_from_outside_becomes_markup(text: str) -> None:
    plain = read(programs=[program("p", reason="r", message="m")], reasons=["x"], node="n")
    strange = read(programs=[program("p", reason=text, message=text)], reasons=[text], node=text, version=text)
    assert strange.elements <= plain.elements | {"b"}
    assert len(strange.rows) == len(plain.rows)
