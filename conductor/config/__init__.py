"""Settings: flags before `CONDUCTOR_*` variables before a TOML file before defaults; parsed once, never changed.

The fields of `Config` are the flags: the command line, the variables and the file take their names, parsers and help
from there. Parts get their slice (`config.road`, `config.loader`, …), never the whole. No I/O and no click in here.
"""

from conductor.config.settings import OPTIONS, Config, Option, as_flags
from conductor.config.slices import (
    AgentConfig,
    ClusterConfig,
    HttpConfig,
    IdentityConfig,
    ImageConfig,
    KeeperConfig,
    LoaderConfig,
    LogConfig,
    RoadConfig,
)

__all__ = [
    "OPTIONS",
    "AgentConfig",
    "ClusterConfig",
    "Config",
    "HttpConfig",
    "IdentityConfig",
    "ImageConfig",
    "KeeperConfig",
    "LoaderConfig",
    "LogConfig",
    "Option",
    "RoadConfig",
    "as_flags",
]
