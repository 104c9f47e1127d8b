// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Tell each TCP segment that is sent again: where to. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct retransmit { /* of tracepoint tcp/tcp_retransmit_skb, kernel 5.6 */
	__u64 common;
	const void *skb, *sk;
	int state;
	__u16 sport, dport, family;
	__u8 saddr[4], daddr[4], saddr_v6[16], daddr_v6[16];
};

struct event {
	__u8 address[16]; /* IPv4 as v4-mapped */
	__u32 port;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} retransmits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

SEC("tracepoint/tcp/tcp_retransmit_skb")
int on_retransmit(struct retransmit *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&retransmits, sizeof(*event), 0);
	__u32 zero = 0;
	__u64 *count;

	if (!event) {
		count = bpf_map_lookup_elem(&lost, &zero);
		if (count)
			__sync_fetch_and_add(count, 1);
		return 0;
	}
	bpf_probe_read_kernel(event->address, sizeof(event->address), ctx->daddr_v6);
	event->port = ctx->dport;
	event->reserved = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
