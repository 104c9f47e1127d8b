// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* `bad` dereferences a number: every verifier refuses it; `good` beside it loads. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tracepoint/raw_syscalls/sys_enter")
int bad(void *ctx)
{
	__u64 random = bpf_get_prandom_u32();

	return *(int *)random;
}

SEC("tracepoint/raw_syscalls/sys_enter")
int good(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
