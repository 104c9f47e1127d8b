// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Who talks to whom by TCP: the kernel half of service_map.
 *
 * `sockets` remembers, for every live connection, what of its counters has been counted. `pairs` collects the
 * differences, keyed without the ephemeral port, so that nothing is lost or moved when a connection closes. User space
 * reads `pairs` and `losses` alone.
 *
 * Byte arithmetic (Linux 5.19 to 6.18):
 *   sent      bytes_sent - bytes_retrans. The kernel raises bytes_retrans first and bytes_sent after: read in the other
 *             order, a reader without the socket lock can see too little, never too much.
 *   received  bytes_received, less one once the peer's FIN (SOCK_DONE) is in it. Read under the socket lock only.
 *   a counter already counted is exchanged atomically, so of two readers of one socket each byte goes to one.
 *
 * Tracepoint programs of one CPU never nest: an event that interrupts another program is skipped by the kernel. No
 * count depends on a single event: byte counters catch up at the next one, and an end that was missed is noticed when
 * the socket is destroyed or its memory carries another connection.
 */
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6

#define MAX_SOCKETS 131072
#define MAX_PAIRS 65536
#define EXCHANGES 4

enum tcp_state { ESTABLISHED = 1, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, CLOSE_WAIT };
enum role { CLIENT = 1, SERVER = 2 };
enum loss { PAIRS_FULL, SENT_BYTES, RECEIVED_BYTES, SOCKETS_FULL, LOSSES };

/* The kernel's own structures, as far as they are read; offsets are relocated at load. */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

enum sock_flags { SOCK_DONE = 1 };

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	__u8 bytes[16];
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	unsigned short skc_family;
	unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
};

struct sock {
	struct sock_common __sk_common;
	__u32 sk_max_ack_backlog;
};

struct inet_sock {
	__be16 inet_sport;
};

struct tcp_sock {
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 snd_nxt;
	__u32 snd_una;
};

struct trace_event_raw_inet_sock_set_state {
	const void *skaddr;
	int oldstate;
	int newstate;
	__u16 protocol;
};

struct trace_event_raw_tcp_event_sk {
	const void *skaddr;
};

struct trace_event_raw_tcp_probe {
	const void *skaddr; /* 6.9 */
};

struct trace_event_raw_sock_msg_length {
	void *sk;
	__u16 protocol;
	int ret;
};

#pragma clang attribute pop

#ifndef PROBE_TELLS /* tests build for kernels whose tcp_probe does not say which socket it is */
#define PROBE_TELLS bpf_core_field_exists(((struct trace_event_raw_tcp_probe *)0)->skaddr)
#endif

/* What user space reads: service_map.py has the same layouts as numpy types, a test compares them. */

struct pair {
	__u32 netns;
	__u16 port; /* the server's, host order */
	__u8 role;
	__u8 pad;
	__u8 local[16]; /* IPv4 as v4-mapped */
	__u8 remote[16];
};

struct traffic {
	__u64 sent;
	__u64 received;
	__u64 opened;
	__s64 active;
};

struct connection {
	struct pair pair;
	__u32 ports;
	__u32 is_active; /* counted in the pair's `active` */
	__u64 sent;
	__u64 received;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PAIRS);
	__type(key, struct pair);
	__type(value, struct traffic);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SOCKETS);
	__type(key, __u64);
	__type(value, struct connection);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOSSES);
	__type(key, __u32);
	__type(value, __u64);
} losses SEC(".maps");

/* --- counting ------------------------------------------------------------------------------------------------- */

static __always_inline void lose(enum loss what, __u64 amount)
{
	__u32 key = what;
	__u64 *lost = bpf_map_lookup_elem(&losses, &key);

	if (lost && amount)
		__sync_fetch_and_add(lost, amount);
}

/* Add to a pair; 0 if there is no room for it. */
static __noinline int add(const struct pair *pair, const struct traffic *more)
{
	struct traffic *sum = bpf_map_lookup_elem(&pairs, pair);

	if (!sum) {
		struct traffic none = {};

		bpf_map_update_elem(&pairs, pair, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&pairs, pair);
	}
	if (!sum) {
		lose(PAIRS_FULL, 1);
		lose(SENT_BYTES, more->sent);
		lose(RECEIVED_BYTES, more->received);
		return 0;
	}
	if (more->sent)
		__sync_fetch_and_add(&sum->sent, more->sent);
	if (more->received)
		__sync_fetch_and_add(&sum->received, more->received);
	if (more->opened)
		__sync_fetch_and_add(&sum->opened, more->opened);
	if (more->active)
		__sync_fetch_and_add(&sum->active, more->active);
	return 1;
}

/* Raise `counted` to `now`; the difference is the caller's to count. */
static __always_inline __u64 advance(__u64 *counted, __u64 now)
{
	__u64 before = *(volatile __u64 *)counted;

	for (int i = 0; i < EXCHANGES; i++) {
		__u64 found;

		if (now <= before)
			return 0;
		found = __sync_val_compare_and_swap(counted, before, now);
		if (found == before)
			return now - before;
		before = found;
	}
	return 0;
}

/* --- sockets -------------------------------------------------------------------------------------------------- */

static __always_inline __u64 bytes_sent(struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	__u64 sent = BPF_CORE_READ(tcp, bytes_sent);
	__u64 again = BPF_CORE_READ(tcp, bytes_retrans);

	return sent > again ? sent - again : 0;
}

static __always_inline __u64 bytes_received(struct sock *sk)
{
	__u64 received = BPF_CORE_READ((struct tcp_sock *)sk, bytes_received);
	unsigned long flags = BPF_CORE_READ(sk, __sk_common.skc_flags);
	__u64 fin = flags >> bpf_core_enum_value(enum sock_flags, SOCK_DONE) & 1;

	return received > fin ? received - fin : 0;
}

static __always_inline __u32 bytes_in_flight(struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	return BPF_CORE_READ(tcp, snd_nxt) - BPF_CORE_READ(tcp, snd_una);
}

/* Tells two connections apart that had one address in memory after each other. */
static __always_inline __u32 ports_of(struct sock *sk)
{
	__u32 local = BPF_CORE_READ((struct inet_sock *)sk, inet_sport);

	return local << 16 | BPF_CORE_READ(sk, __sk_common.skc_dport);
}

static __always_inline void map_v4(__u8 address[16], __be32 v4)
{
	__u32 *words = (__u32 *)address;

	words[2] = bpf_htonl(0xffff);
	words[3] = v4;
}

static __always_inline int describe(struct sock *sk, enum role role, struct connection *to)
{
	struct pair *pair = &to->pair;
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u16 local = BPF_CORE_READ((struct inet_sock *)sk, inet_sport);
	__u16 remote = BPF_CORE_READ(sk, __sk_common.skc_dport);

	if (family == AF_INET) {
		map_v4(pair->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		map_v4(pair->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else if (family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		BPF_CORE_READ_INTO(&pair->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&pair->remote, sk, __sk_common.skc_v6_daddr);
	} else {
		return 0;
	}
	pair->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	pair->port = bpf_ntohs(role == SERVER ? local : remote);
	pair->role = role;
	to->ports = (__u32)local << 16 | remote;
	return 1;
}

/*
 * Who opened an established connection whose opening was not seen. bytes_acked counts the SYN of the side that sent it
 * first and no other; where that sum does not come out (restored sockets), accepted sockets have a backlog.
 */
static __always_inline enum role role_of(struct sock *sk)
{
	__u64 sent = bytes_sent(sk);
	__u64 passed = BPF_CORE_READ((struct tcp_sock *)sk, bytes_acked) + bytes_in_flight(sk);

	if (passed == sent)
		return SERVER;
	if (passed == sent + 1)
		return CLIENT;
	return BPF_CORE_READ(sk, sk_max_ack_backlog) ? SERVER : CLIENT;
}

static __noinline void forget(__u64 key, struct connection *known)
{
	struct pair pair = known->pair;
	struct traffic end = {.active = known->is_active ? -1 : 0};

	if (!bpf_map_delete_elem(&sockets, &key))
		add(&pair, &end);
}

/* Start to follow a connection. One that was older than we are begins with what it has already moved. */
static __noinline struct connection *follow(struct sock *sk, enum role role, int is_new)
{
	__u64 key = (__u64)sk;
	struct connection fresh = {.is_active = 1};
	struct traffic begin = {.opened = is_new, .active = 1};
	struct connection *known;

	if (!describe(sk, role, &fresh))
		return 0;
	if (!is_new) {
		__u64 sent = bytes_sent(sk);
		__u32 in_flight = bytes_in_flight(sk);

		/* What is in flight reaches the peer from now on: it will count it too. */
		fresh.sent = sent > in_flight ? sent - in_flight : 0;
		fresh.received = bytes_received(sk);
	}
	if (bpf_map_update_elem(&sockets, &key, &fresh, BPF_NOEXIST)) {
		known = bpf_map_lookup_elem(&sockets, &key);
		if (known)
			return known; /* another CPU was first */
		lose(SOCKETS_FULL, 1);
		begin.active = 0;
		if (is_new)
			add(&fresh.pair, &begin);
		return 0;
	}
	known = bpf_map_lookup_elem(&sockets, &key);
	if (!add(&fresh.pair, &begin) && known)
		known->is_active = 0;
	return known;
}

/* The connection that this socket carries now, if it is followed. */
static __noinline struct connection *known_of(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct connection *known = bpf_map_lookup_elem(&sockets, &key);

	if (!known || known->ports == ports_of(sk))
		return known;
	forget(key, known);
	return 0;
}

static __noinline struct connection *known_or_older(struct sock *sk)
{
	struct connection *known = known_of(sk);
	__u8 state;

	if (known)
		return known;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state != ESTABLISHED && state != CLOSE_WAIT)
		return 0; /* nothing to come, or its opening is still to come */
	return follow(sk, role_of(sk), 0);
}

static __always_inline void count_sent(struct sock *sk, struct connection *known)
{
	struct traffic more = {.sent = advance(&known->sent, bytes_sent(sk))};

	if (more.sent)
		add(&known->pair, &more);
}

static __noinline void count(struct sock *sk, struct connection *known)
{
	struct traffic more = {
		.sent = advance(&known->sent, bytes_sent(sk)),
		.received = advance(&known->received, bytes_received(sk)),
	};

	if (more.sent || more.received)
		add(&known->pair, &more);
}

static __always_inline void end(struct sock *sk)
{
	struct connection *known = known_of(sk);

	if (known) {
		count(sk, known);
		forget((__u64)sk, known);
	}
}

/* --- events --------------------------------------------------------------------------------------------------- */

SEC("tracepoint/sock/inet_sock_set_state")
int sock_state(struct trace_event_raw_inet_sock_set_state *ctx)
{
	struct sock *sk = (struct sock *)ctx->skaddr;
	struct connection *known;
	int old = ctx->oldstate;
	int new = ctx->newstate;

	if (ctx->protocol != IPPROTO_TCP)
		return 0;
	if (new == CLOSE) {
		end(sk);
		return 0;
	}
	if (old != SYN_SENT && old != SYN_RECV) {
		known = known_of(sk);
		if (known)
			count(sk, known);
		return 0;
	}
	known = known_of(sk);
	/* A simultaneous open passes through SYN_RECV and stays the client that it was. */
	if (known && !(old == SYN_RECV && known->pair.role == CLIENT)) {
		forget((__u64)sk, known);
		known = 0;
	}
	if (!known)
		known = follow(sk, old == SYN_SENT ? CLIENT : SERVER, 1);
	if (known)
		count(sk, known); /* a fast open has carried data already */
	return 0;
}

SEC("tracepoint/tcp/tcp_destroy_sock")
int sock_gone(struct trace_event_raw_tcp_event_sk *ctx)
{
	end((struct sock *)ctx->skaddr);
	return 0;
}

/* Data was taken by the reader, spliced and peeked data too. */
SEC("tracepoint/tcp/tcp_rcv_space_adjust")
int sock_read(struct trace_event_raw_tcp_event_sk *ctx)
{
	struct sock *sk = (struct sock *)ctx->skaddr;
	struct connection *known = known_or_older(sk);

	if (known)
		count(sk, known);
	return 0;
}

/* A segment arrived at an established connection and has not been looked at: acknowledgements of what was sent. */
SEC("tracepoint/tcp/tcp_probe")
int sock_heard(struct trace_event_raw_tcp_probe *ctx)
{
	struct connection *known;
	struct sock *sk;

	if (!PROBE_TELLS)
		return 0;
	sk = (struct sock *)ctx->skaddr;
	known = known_or_older(sk);
	if (known)
		count(sk, known);
	return 0;
}

/* For kernels before 6.9, where tcp_probe does not say which socket it is. Runs without the socket lock. */
SEC("tracepoint/sock/sock_send_length")
int sock_sent(struct trace_event_raw_sock_msg_length *ctx)
{
	struct connection *known;
	struct sock *sk;

	if (PROBE_TELLS)
		return 0;
	if (ctx->protocol != IPPROTO_TCP || ctx->ret <= 0)
		return 0;
	sk = ctx->sk;
	known = known_or_older(sk);
	if (known)
		count_sent(sk, known);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
