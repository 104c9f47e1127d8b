// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Asks for the id of a kernel type, which only the kernel's whole BTF can answer. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

__u64 id = 0;

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(void *ctx)
{
	id = bpf_core_type_id_kernel(struct task_struct);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
