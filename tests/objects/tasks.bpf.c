// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* An iterator: one line per task, its pid by CO-RE. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct task_struct {
	int pid;
	int tgid;
} __attribute__((preserve_access_index));

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

SEC("iter/task")
int each_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	static const char form[] = "%d\n";
	__u64 args[1];

	if (!task)
		return 0;
	args[0] = (__u32)task->tgid;
	bpf_seq_printf(ctx->meta->seq, form, sizeof(form), args, sizeof(args));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
