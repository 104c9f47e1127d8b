// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* Two small ring buffers with counters of what found them full: getppid(2) fills one, getuid(2) the other. */
/* And a large one: getgid(2) puts a record there that is larger than all that is copied at once. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define SYS_GETPPID_AMD64 110
#define SYS_GETPPID_ARM64 173
#define SYS_GETUID_AMD64 102
#define SYS_GETUID_ARM64 174
#define SYS_GETGID_AMD64 104
#define SYS_GETGID_ARM64 176

const volatile __u32 only_pid = 0;
/* Every other record of `calm` has 8,000 bytes. */
const volatile __u32 large = 0;
static __u64 calls = 0;

#define RING(name)                                  \
	struct {                                    \
		__uint(type, BPF_MAP_TYPE_RINGBUF); \
		__uint(max_entries, 16384);         \
	} name SEC(".maps");                        \
	struct {                                    \
		__uint(type, BPF_MAP_TYPE_ARRAY);   \
		__uint(max_entries, 1);             \
		__type(key, __u32);                 \
		__type(value, __u64);               \
	} name##_lost SEC(".maps")

RING(calm);
RING(flood);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} giant SEC(".maps");

struct enter {
	__u64 common;
	__s64 id;
	__u64 args[6];
};

#define LARGE 8000
static char content[LARGE];

static __always_inline void record(void *ring, void *lost, __u64 size)
{
	__u32 zero = 0;
	__u64 *count;

	if (bpf_ringbuf_output(ring, content, size, 0) == 0)
		return;
	count = bpf_map_lookup_elem(lost, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline void put_giant(void)
{
	void *data = bpf_ringbuf_reserve(&giant, 1500000, 0);

	if (data)
		bpf_ringbuf_submit(data, 0);
}

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(struct enter *ctx)
{
	if (bpf_get_current_pid_tgid() >> 32 != only_pid)
		return 0;
	if (ctx->id == SYS_GETPPID_AMD64 || ctx->id == SYS_GETPPID_ARM64)
		record(&calm, &calm_lost, large && __sync_fetch_and_add(&calls, 1) % 2 ? LARGE : 16);
	else if (ctx->id == SYS_GETUID_AMD64 || ctx->id == SYS_GETUID_ARM64)
		record(&flood, &flood_lost, 16);
	else if (ctx->id == SYS_GETGID_AMD64 || ctx->id == SYS_GETGID_ARM64)
		put_giant();
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
