// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * One program per kind that bpfman's API has, all counting into one map. Compiled with -DUNIQUE=... so that bpftool's
 * view of the whole kernel can be cut down to one test's programs, and with -DSTEP=... for a version that differs.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef UNIQUE
#define UNIQUE plain
#endif
#ifndef STEP
#define STEP 1
#endif
#define JOINED(stem, unique) stem##_##unique
#define NAMED(stem, unique) JOINED(stem, unique)
#define PROGRAM(stem) NAMED(stem, UNIQUE)

enum { ENTER, EXIT, TCX, UPROBE, URET, KPROBE, FENTRY, FEXIT, TC, XDP };

const volatile __u32 scale = 1;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

static void count(__u32 which)
{
	__u64 first = STEP * scale, *value = bpf_map_lookup_elem(&counts, &which);

	if (value)
		__sync_fetch_and_add(value, STEP * scale);
	else
		bpf_map_update_elem(&counts, &which, &first, BPF_ANY);
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int PROGRAM(enter)(void *ctx)
{
	count(ENTER);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_getpgid")
int PROGRAM(exit)(void *ctx)
{
	count(EXIT);
	bpf_ringbuf_output(&events, &(__u32){ STEP }, sizeof(__u32), 0);
	return 0;
}

SEC("classifier")
int PROGRAM(tcx)(struct __sk_buff *ctx)
{
	count(TCX);
	return -1; /* TCX_NEXT */
}

SEC("classifier")
int PROGRAM(tc)(struct __sk_buff *ctx)
{
	count(TC);
	return 0; /* TC_ACT_OK */
}

SEC("uprobe")
int PROGRAM(uprobe)(void *ctx)
{
	count(UPROBE);
	return 0;
}

SEC("uretprobe")
int PROGRAM(uret)(void *ctx)
{
	count(URET);
	return 0;
}

SEC("kprobe/do_unlinkat")
int PROGRAM(kprobe)(void *ctx)
{
	count(KPROBE);
	return 0;
}

SEC("kretprobe/do_unlinkat")
int PROGRAM(kret)(void *ctx)
{
	count(KPROBE);
	return 0;
}

SEC("xdp")
int PROGRAM(xdp)(struct xdp_md *ctx)
{
	count(XDP);
	return XDP_PASS;
}

SEC("fentry/do_unlinkat")
int PROGRAM(fentry)(__u64 *ctx)
{
	count(FENTRY);
	return 0;
}

SEC("fexit/do_unlinkat")
int PROGRAM(fexit)(__u64 *ctx)
{
	count(FEXIT);
	return 0;
}

SEC("lsm/file_open")
int PROGRAM(lsm)(__u64 *ctx)
{
	return 0;
}

/* The verifier refuses this one: it dereferences a number. */
SEC("tracepoint/syscalls/sys_enter_getpgid")
int PROGRAM(bad)(void *ctx)
{
	return *(int *)(__u64)bpf_get_prandom_u32();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
