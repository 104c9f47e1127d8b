"""When an agent calls itself ready, and what it says meanwhile; on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from conductor.managers.readiness import Readiness
from conductor.model.ids import Name
from conductor.model.program import ProgramType
from tests.fakes import virtual_time
from tests.fakes.runtime import FakeRuntime


@dataclass
class Life:
    name: Name
    tried: bool = False


@dataclass
class Around:
    """What readiness looks at."""

    lives: list[Life]
    tried: bool = True
    problem: str = ""
    problems: tuple[str, ...] = ()
    waiting: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Life]:
        return iter(self.lives)

    def away(self) -> list[str]:
        return self.waiting


def tell(story: Callable[[Around, Readiness], Awaitable[None]]) -> None:
    async def whole() -> None:
        around = Around([Life(Name("a")), Life(Name("b"))])
        readiness = Readiness(
            crew=around,  # type: ignore[arg-type]
            desk=around,  # type: ignore[arg-type]
            book=around,  # type: ignore[arg-type]
            runtimes={ProgramType.BUILTIN: FakeRuntime()},
        )
        assert readiness.ready() == (False, ("the stored programs are being read",))
        readiness.begin()
        await story(around, readiness)

    virtual_time.run(whole())


def test_ready_when_each_stored_program_was_tried() -> None:
    async def story(around: Around, readiness: Readiness) -> None:
        around.lives[0].tried = True
        assert readiness.ready() == (False, ("program b has not been tried yet",))
        around.lives[1].tried = True
        assert readiness.ready() == (True, ())
        around.lives.append(Life(Name("loaded later")))
        assert readiness.ready() == (True, ())

    tell(story)


def test_ready_after_ten_seconds_whatever_is_missing() -> None:
    async def story(around: Around, readiness: Readiness) -> None:
        await asyncio.sleep(9.9)
        assert readiness.ready()[0] is False
        await asyncio.sleep(0.2)
        assert readiness.ready()[0] is True
        around.tried = False
        assert readiness.ready()[0] is True

    tell(story)


def test_what_is_degraded_is_told_and_does_not_make_it_unready() -> None:
    async def story(around: Around, readiness: Readiness) -> None:
        for life in around.lives:
            life.tried = True
        around.problems, around.problem, around.waiting = ("a bad file",), "no converge", ["the daemon is away"]
        assert readiness.ready() == (
            True,
            ("degraded: a bad file", "degraded: no converge", "degraded: the daemon is away"),
        )

    tell(story)


def test_many_reasons_are_cut_short() -> None:
    async def story(around: Around, readiness: Readiness) -> None:
        around.lives += [Life(Name(f"p{number}")) for number in range(100)]
        readiness.begin()
        lines = readiness.ready()[1]
        assert len(lines) == 20
        assert lines[-1] == "and 83 more"

    tell(story)
