"""Wishes that name an image: pulled once by policy, pinned to a digest, retried, kept from eviction."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from conductor.errors import ImageNotFound, ImageUntrusted, InvalidSpec, RegistryAway
from conductor.managers.program import ProgramManager
from conductor.model.events import ImagePulling
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.image import Credentials, ImageKind
from conductor.model.kernel import ImageObject, KernelProgramSpec, PullPolicy
from conductor.model.program import ProgramType, Source, UserProgramSpec, WasmSource
from conductor.model.status import State
from tests.fakes.runtime import FakeRuntime
from tests.managers.program_world import TRACE, ProgramWorld, until, until_state

URL = "registry.example/tools/p:v1"
P = Name("p")


def module(url: str = URL, policy: PullPolicy = PullPolicy.IF_NOT_PRESENT, **config: int) -> UserProgramSpec:
    location = ImageObject(url=url, pull_policy=policy)
    return UserProgramSpec(name=P, source=WasmSource(location=location), config=config)


@pytest.fixture
def wasm_world(world: ProgramWorld) -> ProgramWorld:
    """A world whose wasm programs run in a fake runtime."""
    world.fake_runtime, world.fake_type = FakeRuntime(), ProgramType.WASM
    return world


def pinned(programs: ProgramManager) -> str:
    source = programs.get(P).spec.source
    assert isinstance(source, WasmSource)
    assert isinstance(source.location, ImageObject)
    return source.location.digest


async def test_load_pulls_and_pins(wasm_world: ProgramWorld) -> None:
    digest = wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        status = await programs.load(module())
        assert (status.state, pinned(programs)) == (State.RUNNING, digest)
        assert wasm_world.images.kept == {digest}
        assert any(isinstance(event, ImagePulling) for event in wasm_world.events)


async def test_the_same_load_again_asks_no_registry_though_the_tag_moved(wasm_world: ProgramWorld) -> None:
    first = wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        await programs.load(module(policy=PullPolicy.ALWAYS))
        wasm_world.images.push(URL, b"two", ImageKind.WASM)
        status = await programs.load(module(policy=PullPolicy.ALWAYS))
        assert (status.generation, pinned(programs), len(wasm_world.images.asked)) == (1, first, 1)


@pytest.mark.parametrize(("policy", "moves"), [(PullPolicy.ALWAYS, True), (PullPolicy.IF_NOT_PRESENT, False)])
async def test_update_acts_by_the_policy(wasm_world: ProgramWorld, policy: PullPolicy, moves: bool) -> None:
    first = wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        await programs.load(module(policy=policy))
        second = wasm_world.images.push(URL, b"two", ImageKind.WASM)
        await programs.update(module(policy=policy))
        assert pinned(programs) == (second if moves else first)
        assert programs.get(P).state is State.RUNNING
        assert len(wasm_world.fake_runtime.instances) == (2 if moves else 1)  # type: ignore[union-attr]


async def test_an_update_says_that_the_tag_moved_and_was_not_followed(wasm_world: ProgramWorld) -> None:
    wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        await programs.load(module())
        wasm_world.images.push(URL, b"two", ImageKind.WASM)
        assert "tag v1 moved" in (await programs.update(module())).condition.message
        assert any("tag v1 moved" in line.message for line in wasm_world.logs.tail(P))


@pytest.mark.parametrize(("policy", "moves"), [(PullPolicy.ALWAYS, True), (PullPolicy.IF_NOT_PRESENT, False)])
async def test_a_changed_manifest_is_an_update(wasm_world: ProgramWorld, policy: PullPolicy, moves: bool) -> None:
    first = wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        await programs.apply([module(policy=policy)])
        await until_state(programs, "p", State.RUNNING, "")
        second = wasm_world.images.push(URL, b"two", ImageKind.WASM)
        await programs.apply([module(policy=policy)])
        assert pinned(programs) == first
        await programs.apply([module(policy=policy, interval=2)])
        await until(lambda: pinned(programs) == (second if moves else first))


async def test_a_change_of_the_strategy_alone_follows_no_tag(wasm_world: ProgramWorld) -> None:
    first = wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        await programs.apply([module(policy=PullPolicy.ALWAYS)])
        await until_state(programs, "p", State.RUNNING, "")
        wasm_world.images.push(URL, b"two", ImageKind.WASM)
        (applied,) = await programs.apply([replace(module(policy=PullPolicy.ALWAYS), overlap=False)])
        assert applied.action == "configured"
        await until(lambda: programs.get(P).generation == 2)
        assert pinned(programs) == first


async def test_an_update_keeps_no_digest_that_the_policy_refuses_now(wasm_world: ProgramWorld) -> None:
    wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        await programs.load(module())
        wasm_world.images.untrusted = "nobody signed it"
        with pytest.raises(ImageUntrusted):
            await programs.update(module(interval=3))
        with pytest.raises(ImageUntrusted):
            await programs.apply([module(interval=3)])
        assert [one.action for one in await programs.apply([module()])] == ["unchanged"]
        assert (programs.get(P).state, programs.get(P).generation) == (State.RUNNING, 1)


@pytest.mark.parametrize("again", ["restart", "start", "apply"])
async def test_what_was_mended_elsewhere_is_tried_at_once_on_request(wasm_world: ProgramWorld, again: str) -> None:
    wasm_world.images.push(URL, b"one", ImageKind.WASM)
    wasm_world.images.untrusted = "nobody signed it"
    async with wasm_world.agent() as programs:
        await programs.apply([module()])
        await until_state(programs, "p", State.FAILED, "ImageUntrusted")
        assert "conductor restart p" in programs.get(P).condition.message
        wasm_world.images.untrusted = ""
        await (programs.apply([module()]) if again == "apply" else getattr(programs, again)(P))
        await until_state(programs, "p", State.RUNNING, "")


async def test_a_kernel_program_whose_image_was_refused_is_tried_when_applied_again(world: ProgramWorld) -> None:
    plain = world.kernel_program("trace")
    spec = KernelProgramSpec(name=Name("trace"), bytecode=ImageObject(url=URL), programs=plain.programs)
    world.images.push(URL, b"trace")
    world.kernel.objects[str(world.object_copy(b"trace"))] = TRACE
    world.images.untrusted = "nobody signed it"
    async with world.agent() as programs:
        await programs.apply([spec])
        await until(lambda: [s.condition.reason for s in programs.kernel()] == ["ImageUntrusted"])
        assert "applied again" in programs.kernel()[0].condition.message
        world.images.untrusted = ""
        await programs.apply([spec])
        await until(lambda: [s.state for s in programs.kernel()] == [State.RUNNING])


async def test_a_restart_runs_the_pinned_digest_without_a_registry(wasm_world: ProgramWorld) -> None:
    digest = wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        await programs.load(module(policy=PullPolicy.ALWAYS))
    wasm_world.images.fail = RegistryAway("it is away")
    asked = len(wasm_world.images.asked)
    async with wasm_world.agent() as programs:
        await until_state(programs, "p", State.RUNNING, "")
        assert (pinned(programs), len(wasm_world.images.asked)) == (digest, asked)


async def test_what_cannot_be_pulled_is_kept_and_tried_again(wasm_world: ProgramWorld) -> None:
    wasm_world.images.push(URL, b"one", ImageKind.WASM)
    wasm_world.images.fail = RegistryAway("registry.example: connection refused")
    async with wasm_world.agent() as programs:
        status = await programs.load(module())
        assert (status.state, status.condition.reason) == (State.FAILED, "RegistryAway")
        wasm_world.images.fail = None
        await until_state(programs, "p", State.RUNNING, "")


async def test_pulling_is_a_state_and_unload_ends_it(wasm_world: ProgramWorld) -> None:
    wasm_world.images.push(URL, b"one", ImageKind.WASM)
    wasm_world.images.gate = asyncio.Event()
    async with wasm_world.agent() as programs, asyncio.TaskGroup() as group:
        loading = group.create_task(_refused(programs))
        await until(
            lambda: [(s.state, s.condition.reason) for s in programs.observed()] == [(State.PULLING, "Pulling")]
        )
        await programs.unload(P)
        assert programs.observed() == ()
        await loading


async def _refused(programs: ProgramManager) -> None:
    with pytest.raises(Exception, match="unloaded meanwhile"):
        await programs.load(module())


async def test_a_bad_reference_is_refused_and_nothing_kept(wasm_world: ProgramWorld) -> None:
    async with wasm_world.agent() as programs:
        with pytest.raises(InvalidSpec, match="image"):
            await programs.load(module(url="https://registry.example/p"))
        assert programs.observed() == ()


async def test_a_failed_update_goes_back_to_the_digest_before(wasm_world: ProgramWorld) -> None:
    first = wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        await programs.load(module())
        with pytest.raises(ImageNotFound):
            await programs.update(module(url="registry.example/tools/p:v2"))
        assert (pinned(programs), programs.get(P).state) == (first, State.RUNNING)


async def test_lent_credentials_are_used_once_and_stored_nowhere(wasm_world: ProgramWorld) -> None:
    wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        wasm_world.image_manager.lend(P, URL, Credentials("me", "s3cret-word"))
        await programs.load(module())
        assert wasm_world.images.asked[0][2] == Credentials("me", "s3cret-word")
        await programs.update(module(policy=PullPolicy.ALWAYS))
        assert wasm_world.images.asked[-1][2] is None
    kept = [path.read_bytes() for path in wasm_world.folder.rglob("*") if path.is_file()]
    assert kept
    assert not any(b"s3cret-word" in content for content in kept)


async def test_a_grant_left_open_is_settled_before_it_is_kept(wasm_world: ProgramWorld) -> None:
    """An old client's `ebpf_maps`: what the module needs is known only once it is here."""
    wasm_world.images.push(URL, b"one", ImageKind.WASM)
    open_grant = MapGrant(name="counts", kernel_program=P, map="counts", access=Access.READ, as_needed=True)
    async with wasm_world.agent() as programs:
        with pytest.raises(InvalidSpec):  # this module needs no map
            await programs.load(replace(module(), maps=(open_grant,)))
        assert [asked[0] for asked in wasm_world.images.asked] == [URL]
        assert programs.observed() == ()


async def test_a_kernel_program_of_an_image(world: ProgramWorld) -> None:
    plain = world.kernel_program("trace")
    spec = KernelProgramSpec(name=Name("trace"), bytecode=ImageObject(url=URL), programs=plain.programs)
    world.images.fail = RegistryAway("registry.example: connection refused")
    async with world.agent() as programs:
        await programs.apply([spec])
        await until(
            lambda: [(s.state, s.condition.reason) for s in programs.kernel()] == [(State.FAILED, "RegistryAway")]
        )
        world.images.push(URL, b"trace")
        world.images.fail = None
        world.kernel.objects[str(world.object_copy(b"trace"))] = TRACE
        await until(lambda: [s.state for s in programs.kernel()] == [State.RUNNING])
        assert len(world.kernel.programs) == 1
        unchanged = await programs.apply([spec])
        assert [one.action for one in unchanged] == ["unchanged"]
    world.images.fail = RegistryAway("still away")
    async with world.agent() as programs:
        await until(lambda: [s.state for s in programs.kernel()] == [State.RUNNING])
        await programs.set_source(Source.GRPC, [])
        await until(lambda: not world.kernel.programs)


async def test_what_pulls_cost_is_counted(wasm_world: ProgramWorld) -> None:
    wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent() as programs:
        await programs.load(module())
        with pytest.raises(ImageNotFound):
            await wasm_world.image_manager.pull(ImageObject(url="registry.example/none:1"))
        counts = wasm_world.image_manager.counts()
        assert (counts["image_pulls_total"], counts["image_pull_failures_total"], counts["images"]) == (2, 1, 1)


async def test_a_fleet_is_pinned_to_what_a_tag_stands_for(wasm_world: ProgramWorld) -> None:
    digest = wasm_world.images.push(URL, b"one", ImageKind.WASM)
    async with wasm_world.agent():
        assert await wasm_world.image_manager.resolve(URL) == digest
        with pytest.raises(ImageNotFound):
            await wasm_world.image_manager.resolve("registry.example/none:1")
