"""Which containers a selector chooses: those of pods, by what a cluster says of them now or by UID, or some by id."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from conductor.model.facts import ContainerProcess, NodePods, Pod
from conductor.model.kernel import ContainerSelector, Link, TcLink, TcxLink, UprobeLink, XdpLink
from conductor.model.status import KernelStatus
from conductor.plan.kernel_sets import LinkWant

__all__ = ["HOSTS", "NOTHING", "Chosen", "Scene", "choose", "named", "selector_of", "watched"]

NOTHING = "NothingSelected"
"""Reason of what runs while its selector finds no pod on this node."""
HOSTS = "HostNetwork"
"""Reason of what runs, and leaves pods of the host's network out."""
MOST_WORDS = 120
"""Characters of a selector in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is known of containers: their processes, the pods of this node, and what a program is attached to."""

    processes: tuple[ContainerProcess, ...] = ()
    pods: NodePods = field(default_factory=NodePods)
    held: tuple[LinkWant, ...] = ()
    """Links into containers that the program has: while nobody knows the pods, these stand for what it selects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What one selector chooses, and what is to be said of it."""

    processes: tuple[ContainerProcess, ...] = ()
    absent: tuple[str, ...] = ()
    """Asked for by UID or id, and not there."""
    remarks: tuple[tuple[str, str], ...] = ()
    """Reasons and sentences about pods by labels that are none, or are left out."""


def named(status: KernelStatus, pods: NodePods) -> KernelStatus:
    """Say of each link into a container which pod's it is, where that is known."""
    if not pods.pods or not any(link.process for function in status.functions for link in function.links):
        return status
    by_uid = {uid: pod for pod in pods.pods for uid in pod.uids}
    functions = (
        replace(function, links=tuple(replace(link, pod=_shown(link.process, by_uid)) for link in function.links))
        for function in status.functions
    )
    return replace(status, functions=tuple(functions))


def _shown(process: ContainerProcess | None, pods: Mapping[str, Pod]) -> str:
    pod = pods.get(process.pod_uid) if process is not None else None
    if process is None or pod is None:
        return ""
    container = pod.containers.get(process.container, "")
    return f"{_name(pod)}{f' ({container})' if container else ''}"


def selector_of(link: Link) -> ContainerSelector | None:
    """Answer the selector of containers of a link; None where it has none."""
    match link:
        case XdpLink() | TcLink() | TcxLink() | UprobeLink():
            return link.containers
        case _:
            return None


def watched(selector: ContainerSelector, scene: Scene) -> ContainerSelector:
    """Answer the same containers, or more, by UIDs and ids alone: what `ports.Containers` takes."""
    if selector.pods is None:
        return selector
    pods = (pod for pod in scene.pods.pods if _is_meant(pod, selector))
    held = (want.process.container for want in scene.held if want.process) if scene.pods.reason else ()
    return ContainerSelector(
        pod_uids=(*selector.pod_uids, *(uid for pod in pods for uid in pod.uids)),
        container_ids=(*selector.container_ids, *held),
    )


def choose(link: Link, selector: ContainerSelector, scene: Scene, function: str) -> Chosen:
    """Choose the processes of the containers that a link goes into, of those that `watched` had found."""
    network = not isinstance(link, UprobeLink)
    by_name, absent = _named(selector, scene, network=network)
    if selector.pods is None:
        return Chosen(processes=by_name, absent=absent)
    remarks: tuple[tuple[str, str], ...]
    if scene.pods.reason:
        labelled, remarks = _held(link, scene, function), ((scene.pods.reason, scene.pods.problem),)
    else:
        labelled, remarks = _labelled(selector, scene, network=network)
    either = labelled.union(by_name)
    return Chosen(processes=tuple(p for p in scene.processes if p in either), absent=absent, remarks=remarks)


def _named(
    selector: ContainerSelector, scene: Scene, *, network: bool
) -> tuple[tuple[ContainerProcess, ...], tuple[str, ...]]:
    """What is asked for by UID and by id. A cluster may tell which container is the sandbox; else it is chosen, too."""
    pods = {uid: pod for pod in scene.pods.pods for uid in pod.uids}
    found = [
        process
        for process in scene.processes
        if process.container in selector.container_ids or process.pod_uid in selector.pod_uids
    ]
    absent = dict.fromkeys(_absent(selector, found))
    if network:
        of_host = {process for process in found if _is_of_host(process, pods)}
        absent |= dict.fromkeys(
            f"{_place(process, selector)} uses {_LEFT_OUT}" for process in found if process in of_host
        )
        return tuple(process for process in found if process not in of_host), tuple(absent)
    sandboxes = _sandboxes(scene.processes, pods)
    chosen = (p for p in found if p.container in selector.container_ids or p not in sandboxes)
    return tuple(chosen), tuple(absent)


_LEFT_OUT = "the host's network and is left out; to attach to the host's interfaces leave networkNamespaces out"


def _absent(selector: ContainerSelector, found: Collection[ContainerProcess]) -> Iterator[str]:
    uids, ids = {process.pod_uid for process in found}, {process.container for process in found}
    yield from (f"no container of pod {uid} runs here" for uid in selector.pod_uids if uid not in uids)
    yield from (f"container {id_[:12]} does not run here" for id_ in selector.container_ids if id_ not in ids)


def _place(process: ContainerProcess, selector: ContainerSelector) -> str:
    by_pod = process.pod_uid in selector.pod_uids
    return f"pod {process.pod_uid}" if by_pod else f"container {process.container[:12]}"


def _is_of_host(process: ContainerProcess, pods: Mapping[str, Pod]) -> bool:
    """Whether its network is the host's, by what the kernel or the cluster says: either is enough to stay away."""
    pod = pods.get(process.pod_uid)
    return process.host_network or (pod is not None and pod.host_network)


def _held(link: Link, scene: Scene, function: str) -> frozenset[ContainerProcess]:
    """Containers that this very link is attached to already."""
    asked = _bare(link)
    ids = {
        want.process.container
        for want in scene.held
        if want.process is not None and want.function == function and _bare(want.link) == asked
    }
    return frozenset(process for process in scene.processes if process.container in ids)


def _bare(link: Link) -> Link:
    """A link without its selector of containers, and without the place that a container gave it."""
    match link:
        case UprobeLink():
            return replace(link, containers=None, container_pid=None)
        case XdpLink() | TcLink() | TcxLink():
            return replace(link, containers=None, netns=None)
        case _:
            return link


def _labelled(
    selector: ContainerSelector, scene: Scene, *, network: bool
) -> tuple[frozenset[ContainerProcess], tuple[tuple[str, str], ...]]:
    """What is asked for by labels, and why it is nothing, or not all."""
    meant = [pod for pod in scene.pods.pods if _is_meant(pod, selector)]
    pods = {uid: pod for pod in meant for uid in pod.uids}
    inside = [process for process in scene.processes if process.pod_uid in pods]
    if network:
        return _networked(selector, meant, inside, pods)
    sandboxes, names = _sandboxes(inside, pods), selector.container_names
    chosen = frozenset(p for p in inside if p not in sandboxes and _is_called(p, pods[p.pod_uid], names))
    return chosen, () if chosen else (_nothing(selector, meant, _called(names)),)


def _networked(
    selector: ContainerSelector,
    meant: Collection[Pod],
    inside: Collection[ContainerProcess],
    pods: Mapping[str, Pod],
) -> tuple[frozenset[ContainerProcess], tuple[tuple[str, str], ...]]:
    """Those that have a network of their own."""
    of_host = {_name(pods[process.pod_uid]) for process in inside if _is_of_host(process, pods)}
    of_host |= {_name(pod) for pod in meant if pod.host_network}
    chosen = frozenset(process for process in inside if _name(pods[process.pod_uid]) not in of_host)
    remarks = ((HOSTS, _of_host(sorted(of_host))),) if of_host else ()
    if chosen or (meant and len(of_host) == len(meant)):
        return chosen, remarks
    return chosen, (_nothing(selector, meant, "container"), *remarks)


def _is_meant(pod: Pod, selector: ContainerSelector) -> bool:
    is_there = selector.namespace in {"", pod.namespace}
    return is_there and selector.pods is not None and selector.pods.matches(pod.labels)


def _is_called(process: ContainerProcess, pod: Pod, names: tuple[str, ...]) -> bool:
    """Whether a container has one of these names; one whose name was not told yet has none."""
    return not names or pod.containers.get(process.container) in names


def _sandboxes(processes: Iterable[ContainerProcess], pods: Mapping[str, Pod]) -> frozenset[ContainerProcess]:
    """The containers that only hold a pod's namespaces: nobody names them, and they were there first.

    A new container has no name either until the kubelet has told it. Where a runtime makes no sandbox, the first one
    waits for its name.
    """
    oldest: dict[str, ContainerProcess] = {}
    for process in processes:
        pod = pods.get(process.pod_uid)
        if pod is not None and process.container not in pod.containers:
            before = oldest.setdefault(process.pod_uid, process)
            if (process.started, process.pid) < (before.started, before.pid):
                oldest[process.pod_uid] = process
    return frozenset(oldest.values())


def _nothing(selector: ContainerSelector, meant: Collection[Pod], what: str) -> tuple[str, str]:
    words = _words(selector)
    if not meant:
        return NOTHING, f"no {words} runs here"
    return NOTHING, f"no {what} of a {words} runs here"


def _words(selector: ContainerSelector) -> str:
    labels = selector.pods.words if selector.pods is not None else ""
    short = labels if len(labels) <= MOST_WORDS else f"{labels[:MOST_WORDS]}…"
    within = f" of namespace {selector.namespace}" if selector.namespace else ""
    return f"pod{within}{f' with labels {short}' if short else ''}"


def _called(names: tuple[str, ...]) -> str:
    return f"container called {' or '.join(names[:3])}{' or …' if names[3:] else ''}" if names else "container"


def _of_host(names: list[str]) -> str:
    more = f" and {len(names) - 1} more use" if names[1:] else " uses"
    return f"pod {names[0]}{more} {_LEFT_OUT}"


def _name(pod: Pod) -> str:
    return f"{pod.namespace}/{pod.name}"
