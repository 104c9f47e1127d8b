// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* A map that asks to be shared by its name, one that collides with counters.bpf.c's but for its size, and a queue. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} common_count SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} by_pid SEC(".maps");

static int count(void)
{
	__u32 zero = 0;
	__u64 *value = bpf_map_lookup_elem(&common_count, &zero);

	if (value)
		__sync_fetch_and_add(value, 1);
	bpf_map_update_elem(&by_pid, &zero, &zero, BPF_ANY);
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_enter")
int first(void *ctx)
{
	return count();
}

SEC("tracepoint/raw_syscalls/sys_exit")
int second(void *ctx)
{
	return count();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
