// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Maps of many shapes, for reading layouts; nothing runs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef __u16 port_t;

enum kind { FIRST, SECOND };

struct key {
	__u8 address[16];
	port_t port;
	__u16 bits : 3;
	__u16 more : 5;
	enum kind kind;
};

union value {
	const volatile __s64 signed_;
	struct {
		__u32 low, high;
	};
	void *pointer;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 77);
	__type(key, struct key);
	__type(value, union value);
} shaped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 5);
	__uint(key_size, 4);
	__uint(value_size, 127 * 8);
} sized SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";
