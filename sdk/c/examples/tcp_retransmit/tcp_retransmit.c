// SPDX-License-Identifier: Apache-2.0
/* Show TCP segments that were sent again, by who stands behind the remote address: one look-up for a whole batch. */
#include "conductor.h"

#define BATCH 256
#define TEXTS 65536

struct event {
	uint8_t address[16];
	uint32_t port;
	uint32_t reserved;
};

static uint8_t buffer[16384] CONDUCTOR_ALIGNED;
static int32_t segments;
static uint8_t addresses[BATCH * 16] CONDUCTOR_ALIGNED;
static uint32_t ports[BATCH];
static uint8_t texts[TEXTS], labels[TEXTS];
static int32_t ids[BATCH] CONDUCTOR_ALIGNED;
static double ones[BATCH] CONDUCTOR_ALIGNED;

CONDUCTOR_START()
{
	int32_t ring = conductor_map("retransmits");

	if (ring < 0 || conductor_stream_open(ring, buffer, sizeof(buffer)) < 0)
		return 1;
	for (int i = 0; i < BATCH; i++)
		ones[i] = 1;
	segments = conductor_metric("{\"name\": \"tcp_retransmit_segments_total\", \"type\": \"counter\", "
				    "\"help\": \"TCP segments sent again.\", \"ttl\": 3600, "
				    "\"labels\": [\"kind\", \"namespace\", \"name\", \"port\"]}");
	return segments < 0;
}

/* An unknown remote's name is its address. */
static void name_of(struct conductor_rows *rows, const uint8_t *address)
{
	static const char hex[] = "0123456789abcdef";
	char text[40];
	uint32_t n = 0;
	int is_v4 = address[10] == 0xff && address[11] == 0xff;

	for (int i = 0; is_v4 && i < 10; i++)
		is_v4 = !address[i];
	if (is_v4) {
		for (int i = 12; i < 16; i++) {
			uint8_t byte = address[i];

			if (byte >= 100)
				text[n++] = (char)('0' + byte / 100);
			if (byte >= 10)
				text[n++] = (char)('0' + byte / 10 % 10);
			text[n++] = (char)('0' + byte % 10);
			text[n++] = '.';
		}
	} else {
		for (int i = 0; i < 16; i++) {
			text[n++] = hex[address[i] >> 4];
			text[n++] = hex[address[i] & 15];
			if (i % 2)
				text[n++] = ':';
		}
	}
	conductor_row_bytes(rows, text, n - 1);
}

static void label(struct conductor_rows *rows, uint32_t i, uint32_t *at)
{
	uint32_t sizes[3];
	const char *found[3];

	for (int k = 0; k < 3; k++)
		found[k] = conductor_text(texts, at, &sizes[k]);
	if (sizes[0]) {
		for (int k = 0; k < 3; k++)
			conductor_row_bytes(rows, found[k], sizes[k]);
	} else {
		conductor_row_text(rows, "External");
		conductor_row_text(rows, "");
		name_of(rows, addresses + i * 16);
	}
	conductor_row_number(rows, ports[i]);
}

static void count_batch(uint32_t count)
{
	struct conductor_rows rows = CONDUCTOR_ROWS(labels);
	uint32_t at = 0;
	int32_t needed = conductor_lookup_workloads(addresses, count, texts, sizeof(texts));

	if (needed < 0 || needed > TEXTS)
		return;
	for (uint32_t i = 0; i < count; i++)
		label(&rows, i, &at);
	if (!rows.full && conductor_metric_series(segments, rows.at, rows.size, count, ids) >= 0)
		conductor_metric_write(CONDUCTOR_ADD, ids, ones, count);
}

CONDUCTOR_EVENTS(stream, buffer, size, records)
{
	const void *data;
	uint32_t length, count = 0;

	for (uint32_t at = 0; (at = conductor_next(buffer, size, at, &data, &length)) != 0;) {
		const struct event *event = data;

		if (length < sizeof(*event))
			continue;
		for (uint32_t k = 0; k < 16; k++)
			addresses[count * 16 + k] = event->address[k];
		ports[count++] = event->port;
		if (count == BATCH) {
			count_batch(count);
			count = 0;
		}
	}
	if (count)
		count_batch(count);
	return 0;
}

CONDUCTOR_TICK(now)
{
	return 0; /* all is said as it comes */
}
