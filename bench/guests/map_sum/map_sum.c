// SPDX-License-Identifier: Apache-2.0
/* Read a hash map by batches and sum packets and bytes by group, as map_reader.c does; write entries and the sum. */
#include "conductor.h"

#define ROOM 131072

struct value {
	uint64_t packets;
	uint64_t bytes;
};

static uint64_t keys[ROOM] CONDUCTOR_ALIGNED;
static struct value values[ROOM] CONDUCTOR_ALIGNED;
static uint64_t packets[256], bytes[256];
static int32_t map, ids[2] CONDUCTOR_ALIGNED;
static double totals[2] CONDUCTOR_ALIGNED;

CONDUCTOR_START()
{
	map = conductor_map("entries");
	ids[0] = conductor_series(
		conductor_metric("{\"name\": \"map_sum_entries\", \"type\": \"gauge\", \"help\": \"Entries.\"}"));
	ids[1] = conductor_series(
		conductor_metric("{\"name\": \"map_sum_sum\", \"type\": \"gauge\", \"help\": \"Sum of all groups.\"}"));
	return map < 0 || ids[0] < 0 || ids[1] < 0;
}

CONDUCTOR_TICK(now)
{
	uint64_t sum = 0, entries = 0;
	int32_t got;

	for (int i = 0; i < 256; i++)
		packets[i] = bytes[i] = 0;
	while ((got = conductor_map_batch(map, keys, values, ROOM)) > 0) {
		for (int32_t i = 0; i < got; i++) {
			packets[keys[i] & 255] += values[i].packets;
			bytes[keys[i] & 255] += values[i].bytes;
		}
		entries += (uint64_t)got;
	}
	for (int i = 0; i < 256; i++)
		sum += packets[i] + bytes[i];
	totals[0] = (double)entries;
	totals[1] = (double)sum;
	conductor_metric_write(CONDUCTOR_SET, ids, totals, 2);
	return got < 0;
}
