// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// One hash map of 100,000 entries, as a kernel half would fill it.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct value {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, __u64);
	__type(value, struct value);
} entries SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";
