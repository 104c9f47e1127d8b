// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Count system calls by number. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct enter { /* of tracepoint raw_syscalls/sys_enter */
	__u64 common;
	long nr;
	unsigned long args[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(struct enter *ctx)
{
	__u32 nr = ctx->nr;
	__u64 *count = bpf_map_lookup_elem(&counts, &nr);

	if (count)
		*count += 1; /* of this CPU alone */
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
