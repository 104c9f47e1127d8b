// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* One small program per hook; each adds to its own counter. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { XDP_RUNS, TCX_RUNS, RAW_RUNS, BTF_RUNS, UPROBE_RUNS, URETPROBE_RUNS, PERF_RUNS, CGROUP_RUNS, TC_RUNS, KPROBE_RUNS };

__u64 runs[16] = {};

static void count(int which)
{
	__sync_fetch_and_add(&runs[which], 1);
}

SEC("xdp")
int on_xdp(struct xdp_md *ctx)
{
	count(XDP_RUNS);
	return XDP_PASS;
}

SEC("classifier")
int on_tcx(struct __sk_buff *ctx)
{
	count(TCX_RUNS);
	return -1; /* TCX_NEXT */
}

SEC("tc")
int on_tc(struct __sk_buff *ctx)
{
	count(TC_RUNS);
	return 0; /* TC_ACT_OK */
}

SEC("raw_tp/sys_enter")
int on_raw(void *ctx)
{
	count(RAW_RUNS);
	return 0;
}

SEC("tp_btf/sys_enter")
int on_btf(__u64 *ctx)
{
	count(BTF_RUNS);
	return 0;
}

SEC("uprobe")
int on_uprobe(void *ctx)
{
	count(UPROBE_RUNS);
	return 0;
}

SEC("uretprobe")
int on_uretprobe(void *ctx)
{
	count(URETPROBE_RUNS);
	return 0;
}

SEC("kprobe/do_unlinkat")
int on_kprobe(void *ctx)
{
	count(KPROBE_RUNS);
	return 0;
}

SEC("perf_event")
int on_perf(void *ctx)
{
	count(PERF_RUNS);
	return 0;
}

SEC("cgroup_skb/egress")
int on_cgroup(struct __sk_buff *ctx)
{
	count(CGROUP_RUNS);
	return 1;
}

SEC("sk_lookup")
int on_lookup(struct bpf_sk_lookup *ctx)
{
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
