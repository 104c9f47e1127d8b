// SPDX-License-Identifier: Apache-2.0
/* Show how often each system call was made, from the totals that the kernel half keeps per CPU. */
#include "conductor.h"

#define SYSCALLS 1024

static int32_t counts, calls;
static struct conductor_map_info info;
static uint32_t keys[SYSCALLS] CONDUCTOR_ALIGNED;
static uint64_t values[SYSCALLS * 8] CONDUCTOR_ALIGNED; /* one batch: as many entries as fit */
static int32_t series[SYSCALLS];                        /* by number of the call; 0 until seen, then id + 1 */
static int32_t ids[SYSCALLS] CONDUCTOR_ALIGNED;
static double totals[SYSCALLS] CONDUCTOR_ALIGNED;

CONDUCTOR_START()
{
	counts = conductor_map("counts");
	if (counts < 0 || conductor_map_info(counts, &info) < 0)
		return 1;
	calls = conductor_metric("{\"name\": \"syscall_counter_calls_total\", \"type\": \"counter\", "
				 "\"help\": \"System calls made.\", \"labels\": [\"nr\"]}");
	return calls < 0;
}

static int32_t series_of(uint32_t nr)
{
	char labels[16];
	struct conductor_rows row = CONDUCTOR_ROWS(labels);
	int32_t id = -1;

	if (series[nr])
		return series[nr] - 1;
	conductor_row_number(&row, nr);
	conductor_metric_series(calls, row.at, row.size, 1, &id);
	series[nr] = id + 1; /* one that the budget refused is asked for again */
	return id;
}

CONDUCTOR_TICK(now)
{
	uint32_t room = sizeof(values) / info.stride, used = 0;
	int32_t got;

	while ((got = conductor_map_batch(counts, keys, values, room < SYSCALLS ? room : SYSCALLS)) > 0)
		for (int32_t i = 0; i < got; i++) {
			const uint64_t *slot = values + (uint32_t)i * info.stride / 8;
			uint64_t total = 0;

			for (uint32_t cpu = 0; cpu < info.cpus; cpu++)
				total += slot[cpu];
			if (total && keys[i] < SYSCALLS) {
				ids[used] = series_of(keys[i]);
				totals[used++] = (double)total;
			}
		}
	conductor_metric_write(CONDUCTOR_SET, ids, totals, used);
	return got < 0;
}
