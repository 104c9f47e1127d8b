// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Tracing programs whose target is chosen at load. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("fentry")
int on_entry(__u64 *ctx)
{
	return 0;
}

SEC("fexit")
int on_exit(__u64 *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
