// SPDX-License-Identifier: Apache-2.0
/* Sum a field of every record of a ring buffer; each tick writes count, sum and the time of the last batch. */
#include "conductor.h"

struct event {
	uint64_t value;
	uint64_t more[7];
};

static uint8_t buffer[1 << 20] CONDUCTOR_ALIGNED;
static int32_t ids[3] CONDUCTOR_ALIGNED;
static double values[3] CONDUCTOR_ALIGNED;
static uint64_t count, sum;
static int64_t last;

CONDUCTOR_START()
{
	static const char *const metrics[] = {
		"{\"name\": \"ring_sum_records\", \"type\": \"gauge\", \"help\": \"Records.\"}",
		"{\"name\": \"ring_sum_sum\", \"type\": \"gauge\", \"help\": \"Sum of their values.\"}",
		"{\"name\": \"ring_sum_at\", \"type\": \"gauge\", \"help\": \"Monotonic nanoseconds of the last batch.\"}",
	};

	for (int i = 0; i < 3; i++)
		if ((ids[i] = conductor_series(conductor_metric(metrics[i]))) < 0)
			return 1;
	return conductor_stream_open(conductor_map("events"), buffer, sizeof(buffer)) < 0;
}

CONDUCTOR_EVENTS(stream, buffer, size, records)
{
	const void *data;
	uint32_t length;

	for (uint32_t at = 0; (at = conductor_next(buffer, size, at, &data, &length)) != 0;)
		if (length >= sizeof(struct event)) {
			sum += ((const struct event *)data)->value;
			count++;
		}
	last = conductor_clock(CONDUCTOR_MONOTONIC);
	return 0;
}

CONDUCTOR_TICK(now)
{
	values[0] = (double)count;
	values[1] = (double)sum;
	values[2] = (double)last;
	return conductor_metric_write(CONDUCTOR_SET, ids, values, 3) < 0;
}
