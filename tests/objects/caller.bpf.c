// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Notes which process makes a system call with a certain number as its first argument: what the kernel calls it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 password = 0;
__u32 caller = 0;

struct enter {
	__u64 common;
	__s64 id;
	__u64 args[6];
};

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(struct enter *ctx)
{
	if ((__u32)ctx->args[0] == password)
		caller = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
