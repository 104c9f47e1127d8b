// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* A TCX program that drops every `nth` packet longer than an acknowledgement: loss for kernels without netem. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 seen;

SEC("classifier")
int lossy(struct __sk_buff *skb)
{
	if (skb->len < 200)
		return 0; /* TCX_PASS */
	return __sync_fetch_and_add(&seen, 1) % 20 == 7 ? 2 /* TCX_DROP */ : 0;
}

char LICENSE[] SEC("license") = "GPL";
