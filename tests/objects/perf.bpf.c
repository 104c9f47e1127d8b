// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* A perf buffer, which programs without CAP_PERFMON cannot read. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} outputs SEC(".maps");

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(void *ctx)
{
	__u64 value = 1;

	bpf_perf_event_output(ctx, &outputs, BPF_F_CURRENT_CPU, &value, sizeof(value));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
