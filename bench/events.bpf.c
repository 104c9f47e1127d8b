// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Producer of the ring buffer benches: batches of 64-byte records, one BPF_PROG_TEST_RUN per batch or many.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define BATCH 100 /* as in ring_producer.c */

struct event {
	__u64 value;
	__u64 more[7];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} events SEC(".maps");

/* One that fills within milliseconds. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} narrow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline void put(void *ring, __u64 flags)
{
	struct event *event = bpf_ringbuf_reserve(ring, sizeof(*event), 0);
	__u32 zero = 0;
	__u64 *count;

	if (!event) {
		count = bpf_map_lookup_elem(&lost, &zero);
		if (count)
			__sync_fetch_and_add(count, 1);
		return;
	}
	event->value = 3;
	for (int i = 0; i < 7; i++)
		event->more[i] = i;
	bpf_ringbuf_submit(event, flags);
}

/* As kernel halves do: the kernel wakes the consumer when it had caught up. */
SEC("socket")
int flow(struct __sk_buff *skb)
{
	for (int i = 0; i < BATCH; i++)
		put(&events, 0);
	return 0;
}

SEC("socket")
int flow_narrow(struct __sk_buff *skb)
{
	for (int i = 0; i < BATCH; i++)
		put(&narrow, 0);
	return 0;
}

/* Fill quietly; `wake` then begins the race. */
SEC("socket")
int fill(struct __sk_buff *skb)
{
	for (int i = 0; i < BATCH; i++)
		put(&events, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("socket")
int wake(struct __sk_buff *skb)
{
	put(&events, BPF_RB_FORCE_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
