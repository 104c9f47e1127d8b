from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conductor.config import OPTIONS, Config, as_flags
from conductor.errors import InvalidConfig


def parsed(
    flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, file: dict[str, Any] | None = None
) -> Config:
    return Config.parse(flags=flags or {}, environ=environ or {}, file=file or {})


def test_defaults_are_those_that_users_were_promised() -> None:
    config = parsed()
    assert config.kernel == "auto"
    assert config.agent_socket == Path("/run/ebpfconductor/agent.sock")
    assert config.loader_socket == Path("/run/ebpfconductor/loader.sock")
    assert config.bpfman_socket == Path("/run/bpfman-sock/bpfman.sock")
    assert config.bpffs == Path("/run/ebpfconductor/bpf")
    assert (config.state_dir, config.cache_dir) == (Path("/var/lib/ebpfconductor"), Path("/var/cache/ebpfconductor"))
    assert config.http_address == "127.0.0.1:8080"
    assert (config.user, config.groups, config.allow_uid0) == ("65532", (), False)
    assert config.lease_duration == 15.0
    assert config.stats
    assert not config.keep


def test_flag_beats_variable_beats_file_beats_default() -> None:
    file = {"node-name": "file", "kernel": "none", "log-level": "debug"}
    environ = {"CONDUCTOR_NODE_NAME": "variable", "CONDUCTOR_KERNEL": "embedded"}
    config = parsed({"node_name": "flag"}, environ, file)
    assert (config.node_name, config.kernel, config.log_level, config.log_format) == (
        "flag",
        "embedded",
        "debug",
        "text",
    )


def test_every_bad_field_is_told_at_once_in_the_words_of_its_layer() -> None:
    with pytest.raises(InvalidConfig) as caught:
        parsed(
            {"kernel": "magic", "state_dir": "relative"},
            {"CONDUCTOR_LEASE_DURATION": "soon", "CONDUCTOR_STATS": "perhaps"},
            {"http-address": "nowhere", "colour": "red"},
        )
    assert [field for field, _ in caught.value.problems] == [
        "colour",
        "--kernel",
        "--state-dir",
        "http_address",
        "CONDUCTOR_LEASE_DURATION",
        "CONDUCTOR_STATS",
    ]


def test_a_bad_value_that_is_overruled_does_no_harm() -> None:
    assert parsed({"kernel": "none"}, {"CONDUCTOR_KERNEL": "magic"}).kernel == "none"


@pytest.mark.parametrize("variable", ["CONDUCTOR_SERVICE_HOST", "CONDUCTOR_PORT", "CONDUCTOR_PORT_8080_TCP"])
def test_variables_that_kubernetes_makes_are_left_alone(variable: str) -> None:
    assert parsed(environ={variable: "tcp://10.0.0.1:8080"}) == parsed()


def test_an_empty_variable_counts_as_not_set() -> None:
    assert parsed(environ={"CONDUCTOR_STATE_DIR": "", "CONDUCTOR_KUBECONFIG": ""}) == parsed()


@pytest.mark.parametrize(
    ("raw", "seconds"), [("15s", 15.0), ("500ms", 0.5), ("1m", 60.0), ("0.5h", 1800.0), (20, 20.0), ("7.5", 7.5)]
)
def test_durations(raw: object, seconds: float) -> None:
    assert parsed({"lease_duration": raw}).lease_duration == seconds


@pytest.mark.parametrize("raw", ["0s", "-1s", "1d", "25h", "", "s", True, [15]])
def test_durations_that_are_none(raw: object) -> None:
    with pytest.raises(InvalidConfig, match="lease-duration"):
        parsed({"lease_duration": raw})


@pytest.mark.parametrize(
    ("raw", "host", "port"), [(":8080", "", 8080), ("[::1]:0", "::1", 0), ("localhost:65535", "localhost", 65535)]
)
def test_addresses(raw: str, host: str, port: int) -> None:
    http = parsed({"http_address": raw}).http
    assert (http.host, http.port) == (host, port)


@pytest.mark.parametrize("raw", ["8080", "localhost", "host:65536", "::1:80", "host:http", "host:-1"])
def test_addresses_that_are_none(raw: str) -> None:
    with pytest.raises(InvalidConfig, match="http-address"):
        parsed({"http_address": raw})


def test_lists_come_as_repeated_flags_comma_lists_and_toml_arrays() -> None:
    expected = (Path("/a"), Path("/b"))
    assert parsed({"apply": ("/a", "/b")}).apply == expected
    assert parsed(environ={"CONDUCTOR_APPLY": "/a,/b"}).apply == expected
    assert parsed(file={"apply": ["/a", "/b"]}).apply == expected


def test_pin_prefixes_are_pairs() -> None:
    config = parsed({"pin_prefix": ("/run/bpfman/fs=/host/bpfman/fs",)})
    assert config.road.pin_prefix == ((Path("/run/bpfman/fs"), Path("/host/bpfman/fs")),)
    with pytest.raises(InvalidConfig, match="FROM=TO"):
        parsed({"pin_prefix": ("/run/bpfman/fs",)})


def test_a_socket_path_past_what_the_kernel_takes_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="107 bytes"):
        parsed({"agent_socket": "/" + "x" * 107})


def test_one_socket_cannot_serve_two() -> None:
    with pytest.raises(InvalidConfig, match="socket of their own"):
        parsed({"agent_socket": "/run/a.sock", "loader_socket": "/run/a.sock"})


def test_agent_and_loader_keep_their_files_apart() -> None:
    config = parsed({"state_dir": "/state", "cache_dir": "/cache"})
    assert (config.agent.state_dir, config.loader.state_dir, config.keeper.state_dir) == (
        Path("/state/agent"),
        Path("/state/loader"),
        Path("/state/keeper"),
    )
    assert config.agent.cache_dir != config.loader.cache_dir


@pytest.mark.parametrize(
    ("mode", "with_loader"), [("auto", True), ("embedded", True), ("bpfman", False), ("none", False)]
)
def test_the_loader_is_kept_only_where_it_may_be_the_road(mode: str, with_loader: bool) -> None:
    assert parsed({"kernel": mode}).keeper.with_loader is with_loader


def test_repr_keeps_paths_to_credentials_to_itself() -> None:
    config = parsed({"registries": "/etc/secret-registries", "kubeconfig": "/etc/secret-kube"})
    assert "secret" not in repr(config) + repr(config.images) + repr(config.cluster)


def test_flags_for_a_child_give_the_same_config() -> None:
    config = parsed(
        {
            "kernel": "none",
            "stats": False,
            "keep": True,
            "groups": ("adm", "7"),
            "pin_prefix": ("/a=/b",),
            "apply": ("/x.yaml", "/y,z.yaml"),
            "lease_duration": "20s",
            "names": "/names",
        }
    )
    flags: dict[str, Any] = {}
    words = iter(as_flags(config))
    for word in words:
        off = word.startswith("--no-") and word != "--node-name"
        option = next(o for o in OPTIONS if o.flag == word.replace("--no-", "--", 1 if off else 0))
        value = (not off) if option.is_switch else next(words)
        flags[option.name] = (*flags.get(option.name, ()), value) if option.many else value
    assert parsed(flags) == config
    assert as_flags(parsed()) == ()


def test_every_option_has_help_and_a_metavar_unless_it_is_a_switch() -> None:
    for option in OPTIONS:
        assert option.help.endswith("."), option.name
        assert bool(option.metavar) != option.is_switch, option.name
