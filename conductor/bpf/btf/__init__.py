"""BTF: types of kernels and objects. Parsed, cut down to what an object's relocations need, read as layouts of maps.

Pure: bytes in, values out; nothing here asks the kernel (Documentation/bpf/btf.rst is the format).
"""

from __future__ import annotations

from conductor.bpf.btf.cut import cut_btf, has_relocations
from conductor.bpf.btf.digest import layout_digests
from conductor.bpf.btf.layout import FieldLayout, Layout, MapLayout, map_layouts

__all__ = ["FieldLayout", "Layout", "MapLayout", "cut_btf", "has_relocations", "layout_digests", "map_layouts"]
