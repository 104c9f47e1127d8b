// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Two tracepoint programs that share maps, with globals: what loader and map tests need. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct count {
	__u64 calls;
	__u64 bytes;
};

const volatile __u32 only_pid = 0;
__u64 seen = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct count);
} by_pid SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} total SEC(".maps");

static int account(__u64 bytes)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32, zero = 0;
	struct count fresh = {}, *count;
	__u64 *all;

	if (only_pid && pid != only_pid)
		return 0;
	__sync_fetch_and_add(&seen, 1);
	all = bpf_map_lookup_elem(&total, &zero);
	if (all)
		*all += 1;
	bpf_map_update_elem(&by_pid, &pid, &fresh, BPF_NOEXIST);
	count = bpf_map_lookup_elem(&by_pid, &pid);
	if (count) {
		__sync_fetch_and_add(&count->calls, 1);
		__sync_fetch_and_add(&count->bytes, bytes);
	}
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(void *ctx)
{
	return account(1);
}

SEC("tracepoint/raw_syscalls/sys_exit")
int on_exit(void *ctx)
{
	return account(0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
