// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* A small ring buffer, filled by getppid(2) of one process. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define SYS_GETPPID_AMD64 110
#define SYS_GETPPID_ARM64 173

struct event {
	__u64 number;
	__u32 pid;
	__u32 pad;
};

const volatile __u32 only_pid = 0;
__u64 number = 0;
__u64 lost = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 64);
	__uint(key_size, 0);
	__uint(value_size, 8);
} queue SEC(".maps");

struct enter {
	__u64 common;
	__s64 id;
	__u64 args[6];
};

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(struct enter *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct event *event;
	__u64 value;

	if (pid != only_pid || (ctx->id != SYS_GETPPID_AMD64 && ctx->id != SYS_GETPPID_ARM64))
		return 0;
	value = __sync_fetch_and_add(&number, 1);
	bpf_map_push_elem(&queue, &value, 0);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	event->number = value;
	event->pid = pid;
	event->pad = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
