// SPDX-License-Identifier: Apache-2.0
/* Count the programs that are started, by command. The ring buffer's records come in batches. */
#include "conductor.h"

#define COMMANDS 512

struct event {
	uint32_t pid;
	uint32_t uid;
	char command[16];
};

struct known {
	char command[16];
	int32_t id;     /* of its series, + 1; 0 until it has one */
	double started; /* since the last tick */
};

static uint8_t buffer[16384] CONDUCTOR_ALIGNED;
static struct known known[COMMANDS]; /* open addressing by command; a full table counts as `other` */
static int32_t execs, losses, lost_series;
static int32_t ids[COMMANDS] CONDUCTOR_ALIGNED;
static double values[COMMANDS] CONDUCTOR_ALIGNED;

CONDUCTOR_START()
{
	int32_t ring = conductor_map("execs");

	if (ring < 0 || conductor_stream_open(ring, buffer, sizeof(buffer)) < 0)
		return 1;
	losses = conductor_map("lost");
	execs = conductor_metric("{\"name\": \"exec_snoop_execs_total\", \"type\": \"counter\", "
				 "\"help\": \"Programs started.\", \"labels\": [\"command\"]}");
	lost_series = conductor_series(conductor_metric("{\"name\": \"exec_snoop_lost_total\", \"type\": \"counter\", "
							"\"help\": \"Starts that found the ring buffer full.\"}"));
	return losses < 0 || execs < 0 || lost_series < 0;
}

static int is_same(const char *a, const char *b)
{
	for (int i = 0; i < 16; i++)
		if (a[i] != b[i])
			return 0;
		else if (!a[i])
			return 1;
	return 1;
}

static void copy(char *to, const char *from)
{
	for (int i = 0; i < 16; i++)
		to[i] = from[i];
}

static struct known *entry_of(const char *command)
{
	uint32_t hash = 2166136261u;

	for (int i = 0; i < 16 && command[i]; i++)
		hash = (hash ^ (uint8_t)command[i]) * 16777619u;
	for (uint32_t tried = 0; tried < COMMANDS - 1; tried++) {
		struct known *entry = &known[(hash + tried) % (COMMANDS - 1)];

		if (!entry->command[0])
			copy(entry->command, command);
		if (is_same(entry->command, command))
			return entry;
	}
	copy(known[COMMANDS - 1].command, "other\0\0\0\0\0\0\0\0\0\0");
	return &known[COMMANDS - 1];
}

CONDUCTOR_EVENTS(stream, buffer, size, records)
{
	const void *data;
	uint32_t length;

	for (uint32_t at = 0; (at = conductor_next(buffer, size, at, &data, &length)) != 0;)
		if (length >= sizeof(struct event))
			entry_of(((const struct event *)data)->command)->started += 1;
	return 0;
}

/* Ask for all series that are not there yet with one call. */
static void intern_new(void)
{
	static uint8_t labels[COMMANDS * 20];
	static int32_t fresh[COMMANDS];
	static uint32_t slots[COMMANDS];
	struct conductor_rows rows = CONDUCTOR_ROWS(labels);
	uint32_t count = 0;

	for (uint32_t i = 0; i < COMMANDS; i++)
		if (known[i].started > 0 && known[i].id <= 0) {
			conductor_row_chars(&rows, known[i].command, sizeof(known[i].command));
			slots[count++] = i;
		}
	if (count && conductor_metric_series(execs, rows.at, rows.size, count, fresh) >= 0)
		for (uint32_t i = 0; i < count; i++)
			known[slots[i]].id = fresh[i] + 1;
}

CONDUCTOR_TICK(now)
{
	uint32_t key = 0, used = 0;
	uint64_t lost = 0;
	uint8_t found = 0;

	intern_new();
	for (uint32_t i = 0; i < COMMANDS; i++)
		if (known[i].id > 0 && known[i].started > 0) {
			ids[used] = known[i].id - 1;
			values[used++] = known[i].started;
			known[i].started = 0;
		}
	/* Counted here: add. Counted by the kernel half: set. The host's counters outlive this instance. */
	conductor_metric_write(CONDUCTOR_ADD, ids, values, used);
	if (conductor_map_lookup(losses, &key, 1, &lost, &found) == 1)
		conductor_write(CONDUCTOR_SET, lost_series, (double)lost);
	return 0;
}

/* No state, but the last chance to write what was counted since the last tick. */
CONDUCTOR_SAVE()
{
	return conductor_v1_tick(0);
}
