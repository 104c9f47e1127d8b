// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* CO-RE of many kinds: fields through pointers, nested, arrays, bit-fields, enums, sizes, existence, flavours. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct list_head {
	struct list_head *next, *prev;
} __attribute__((preserve_access_index));

struct nsproxy {
	struct net *net_ns;
} __attribute__((preserve_access_index));

struct signal_struct {
	int nr_threads;
} __attribute__((preserve_access_index));

struct sched_entity {
	__u64 sum_exec_runtime;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct task_struct *group_leader;
	struct list_head children;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct sched_entity se;
	unsigned int sched_reset_on_fork : 1;
} __attribute__((preserve_access_index));

struct task_struct___imagined {
	int no_such_field;
} __attribute__((preserve_access_index));

struct no_such_struct___ever {
	int x;
} __attribute__((preserve_access_index));

struct sock_common {
	union {
		struct {
			__u32 skc_daddr;
			__u32 skc_rcv_saddr;
		};
	};
	unsigned short skc_family;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
} __attribute__((preserve_access_index));

typedef struct {
	int counter;
} atomic_t;

enum pid_type { PIDTYPE_PID = 100, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID };

enum {
	PID_OFFSET, COMM_OFFSET, COMM_SIZE, THREADS_OFFSET, RUNTIME_OFFSET, DADDR_OFFSET, FAMILY_OFFSET, TASK_SIZE,
	ATOMIC_SIZE, SID, IMAGINED, NOWHERE, PID_EXISTS, BIT_SIZE, BIT_LEFT, BIT_RIGHT, COMM_THIRD, CHILD_PREV, LEADER, VALUES
};

__u64 values[VALUES] = {};
const volatile __u32 only_pid = 0;

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task(), *none = 0;
	struct sock *sock = 0;

	if (only_pid != (bpf_get_current_pid_tgid() >> 32))
		return 0;
	values[PID_OFFSET] = (__u64)&none->pid;
	values[COMM_OFFSET] = (__u64)&none->comm;
	values[COMM_SIZE] = bpf_core_field_size(none->comm);
	values[COMM_THIRD] = (__u64)&none->comm[3];
	values[THREADS_OFFSET] = (__u64)&((struct signal_struct *)0)->nr_threads;
	values[RUNTIME_OFFSET] = (__u64)&none->se.sum_exec_runtime;
	values[CHILD_PREV] = (__u64)&none->children.prev;
	values[DADDR_OFFSET] = (__u64)&sock->__sk_common.skc_daddr;
	values[FAMILY_OFFSET] = (__u64)&sock->__sk_common.skc_family;
	values[TASK_SIZE] = bpf_core_type_size(struct task_struct);
	values[ATOMIC_SIZE] = bpf_core_type_size(atomic_t);
	values[SID] = bpf_core_enum_value(enum pid_type, PIDTYPE_SID);
	values[IMAGINED] = bpf_core_field_exists(((struct task_struct___imagined *)0)->no_such_field);
	values[NOWHERE] = bpf_core_type_exists(struct no_such_struct___ever);
	values[PID_EXISTS] = bpf_core_field_exists(none->pid) + 2 * bpf_core_enum_value_exists(enum pid_type, PIDTYPE_SID);
	values[BIT_SIZE] = __builtin_preserve_field_info(none->sched_reset_on_fork, BPF_FIELD_BYTE_SIZE);
	values[BIT_LEFT] = __builtin_preserve_field_info(none->sched_reset_on_fork, BPF_FIELD_LSHIFT_U64);
	values[BIT_RIGHT] = __builtin_preserve_field_info(none->sched_reset_on_fork, BPF_FIELD_RSHIFT_U64);
	values[LEADER] = BPF_CORE_READ(task, group_leader, tgid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
