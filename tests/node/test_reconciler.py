"""A NodeState becomes programs, and what came of them its status."""

from __future__ import annotations

import asyncio

import pytest

from conductor.errors import ClusterConflict
from conductor.kube.cluster import Cluster
from conductor.model.cluster import Document, Resource
from conductor.model.ids import Name
from conductor.model.program import Source
from conductor.model.status import State
from conductor.node.reporter import CONFLICTS
from tests.managers.program_world import until
from tests.node.world import NODE, REVISIONS, NodeWorld


async def test_what_is_assigned_runs_and_is_told_in_two_writes_at_most(world: NodeWorld) -> None:
    async with world.running() as (programs, node):
        world.assign(world.user("one"), world.user("two"), world.kernel("trace"))
        await until(lambda: world.rows() == dict.fromkeys(("one", "two", "trace"), "Running"))
        assert {status.name: status.source for status in programs.observed()} == dict.fromkeys(
            ("one", "two"), Source.CLUSTER
        )
        told = world.told()
        assert (told.observed_generation, told.agent) == (told.generation, world.agent)
        assert [row.hash for row in told.observed] == [item.hash for item in told.spec]
        assert world.writes <= 2
        assert node.problems() == ()


async def test_what_is_taken_out_goes_and_its_row_too(world: NodeWorld) -> None:
    async with world.running() as (programs, _):
        one, trace = world.user("one"), world.kernel("trace")
        world.assign(one, trace)
        await until(lambda: world.rows() == {"one": "Running", "trace": "Running"})
        before = world.writes
        world.assign(one)
        await until(lambda: world.rows() == {"one": "Running"} and world.told().observed_generation == 2)
        assert not world.programs.kernel.programs
        assert world.writes - before <= 2
        assert [status.name for status in programs.observed()] == ["one"]


async def test_a_node_without_an_object_runs_nothing_of_the_cluster(world: NodeWorld) -> None:
    async with world.running() as (programs, _):
        world.assign(world.user("one"))
        await until(lambda: world.rows() == {"one": "Running"})
        world.drop_state()
        await until(lambda: programs.observed() == ())


async def test_a_bad_revision_is_told_and_leaves_the_others_alone(world: NodeWorld) -> None:
    bad = world.revision("UserProgram", "bad", {"source": {"builtin": "plain", "wasm": {}}})
    async with world.running():
        world.assign(bad, world.user("good"), world.user("unknown", "no-such-builtin"))
        await until(lambda: world.rows().get("good") == "Running")
        await until(lambda: world.rows()["bad"] == "Failed InvalidSpec")
        assert world.rows()["unknown"].startswith("Failed")


async def test_a_version_that_is_refused_leaves_the_one_before_running(world: NodeWorld) -> None:
    async with world.running() as (programs, _):
        world.assign(world.user("one"))
        await until(lambda: world.rows() == {"one": "Running"})
        world.assign(world.revision("UserProgram", "one", {"source": {}}))
        await until(lambda: world.rows() == {"one": "Failed InvalidSpec"})
        (status,) = programs.observed()
        assert status.state is State.RUNNING


async def test_a_version_that_could_not_take_over_is_told_as_failed(world: NodeWorld) -> None:
    async with world.running() as (programs, _):
        world.assign(world.user("one"))
        await until(lambda: world.rows() == {"one": "Running"})
        world.assign(world.user("one", "no-such-builtin"))
        await until(lambda: world.rows()["one"].startswith("Failed"))
        (status,) = programs.observed()
        assert status.state is State.RUNNING, "the version before goes on"


async def test_a_revision_says_whether_versions_overlap(world: NodeWorld) -> None:
    alive: list[int] = []
    for mood in ("beside", "after"):
        world.programs.script.on_open[mood] = lambda: alive.append(world.programs.script.alive)
    async with world.running() as (programs, _):
        world.assign(world.user("one"))
        await until(lambda: world.rows() == {"one": "Running"})
        world.assign(world.user("one", mood="beside"))
        await until(lambda: len(alive) == 1 and programs.get(Name("one")).condition.state is State.RUNNING)
        alone = {"source": {"builtin": "plain"}, "config": {"mood": "after"}, "updateStrategy": {"type": "Recreate"}}
        world.assign(world.revision("UserProgram", "one", alone))
        await until(lambda: len(alive) == 2)
        await until(lambda: world.rows() == {"one": "Running"} and world.told().observed_generation == 3)
        assert world.told().observed[0].hash == world.told().spec[0].hash
    assert alive == [1, 0]


async def test_files_of_this_node_are_refused_unless_it_allows_them(world: NodeWorld) -> None:
    spec = {"bytecode": {"path": "/etc/passwd"}, "programs": [{"name": "f", "type": "TracePoint", "tracepoint": {}}]}
    assignment = world.revision("KernelProgram", "file", spec)
    async with world.running():
        world.assign(assignment)
        await until(lambda: world.rows() == {"file": "Failed PathNotAllowed"})
        assert "--allow-cluster-paths" in world.told().observed[0].message
    world.allow_paths = True
    async with world.running():
        await until(lambda: world.rows() == {"file": "Failed ObjectUnreadable"})


async def test_a_revision_that_comes_late_is_looked_for_again(world: NodeWorld) -> None:
    late = world.user("late")
    world.ask("DELETE", f"{REVISIONS}/{late.revision}")
    async with world.running():
        world.assign(late)
        await until(lambda: world.rows() == {"late": "Failed RevisionMissing"})
        world.user("late")
        await until(lambda: world.rows() == {"late": "Running"})


async def test_a_revision_of_another_content_is_not_run(world: NodeWorld) -> None:
    meant = world.user("one", interval=1)
    world.ask("DELETE", f"{REVISIONS}/{meant.revision}")
    other = {"kind": "UserProgram", "metadata": {"name": "one"}, "spec": {"source": {"builtin": "plain"}}}
    world.ask("POST", REVISIONS, {"metadata": {"name": meant.revision}, "data": other})
    async with world.running() as (programs, _):
        world.assign(meant)
        await until(lambda: world.rows() == {"one": "Failed RevisionUnusable"})
        assert programs.observed() == ()


async def test_nothing_is_written_where_nothing_changes(world: NodeWorld) -> None:
    async with world.running():
        world.assign(world.user("one"))
        await until(lambda: world.rows() == {"one": "Running"})
    before = world.writes
    async with world.running() as (programs, node):
        await until(lambda: node.is_connected and bool(programs.observed()))
        await asyncio.sleep(1.5)
        assert world.writes == before, "an agent that came back to what it had told"


async def test_another_writer_in_between_is_read_again(world: NodeWorld) -> None:
    async with world.running() as (_, node):
        world.assign(world.user("one"))
        await until(lambda: world.rows() == {"one": "Running"})
        world.connection.delay = 0.3
        world.assign(world.user("one", interval=2))
        await asyncio.sleep(0.2)
        world.ask("PATCH", f"/apis/ebpfconductor.io/v1alpha1/nodestates/{NODE}", {"metadata": {"labels": {"a": "b"}}})
        await until(lambda: world.told().observed_generation == 2 and world.rows() == {"one": "Running"})
        assert node.reporter.counts.failures == 0


async def test_what_a_watch_tells_late_is_not_written_over(world: NodeWorld) -> None:
    async with world.running() as (_, node):
        world.assign(world.user("one"))
        late = world.told()
        await until(lambda: world.rows() == {"one": "Running"} and node.reporter.counts.writes > 0)
        before = world.writes
        node.reporter.holds(late)
        await asyncio.sleep(0.5)
        assert (world.writes - before, node.reporter.counts.conflicts) == (0, 0)


async def test_a_write_that_landed_unheard_is_not_made_again(world: NodeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[str]] = []
    replace_status = Cluster.replace_status

    async def unheard(cluster: Cluster, resource: Resource, document: Document) -> Document:
        answer = await replace_status(cluster, resource, document)
        sent.append([row["state"] for row in document["status"]["programs"]])
        if sent[-1] == ["Running"]:
            raise ClusterConflict("the object has been modified")
        return answer

    monkeypatch.setattr(Cluster, "replace_status", unheard)
    async with world.running() as (_, node):
        world.assign(world.user("one"))
        await until(lambda: node.reporter.counts.conflicts > 0)
        await asyncio.sleep(0.3)
        assert sent.count(["Running"]) == 1
        assert node.problems() == ()


async def test_what_changes_under_every_write_is_tried_again_later(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    async def conflicting(_cluster: Cluster, _resource: Resource, _document: Document) -> Document:
        asked.append(asyncio.get_running_loop().time())
        raise ClusterConflict("the object has been modified")

    monkeypatch.setattr(Cluster, "replace_status", conflicting)
    async with world.running() as (_, node):
        world.assign(world.user("one"))
        await until(lambda: "later" in str(node.problems()))
        assert len(asked) == CONFLICTS
        monkeypatch.undo()
        await until(lambda: world.rows() == {"one": "Running"})
        assert not node.problems()
