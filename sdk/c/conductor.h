// SPDX-License-Identifier: Apache-2.0
/* Guest programs of eBPFConductor in C: the ABI conductor_v1, and what makes it comfortable. This file is the whole SDK.
 *
 * A program defines one of each of these and no main:
 *
 *     CONDUCTOR_START() { ...; return 0; }            once: open maps and streams, declare metrics
 *     CONDUCTOR_TICK(now) { ...; return 0; }          every interval; required
 *     CONDUCTOR_EVENTS(stream, buffer, size, records) { ...; return 0; }
 *
 * Everything moves in batches: read a map with a few calls of conductor_map_batch, write metrics with one call of
 * conductor_metric_write. Answers below 0 are of enum conductor_error. Pointers given for keys, values, ids and numbers
 * are 8-byte aligned. Strings are UTF-8. The header needs no libc.
 *
 * Build: conductor wasm build, or
 *   clang --target=wasm32-wasi --sysroot=/usr -mexec-model=reactor -O2 -o program.wasm program.c
 */
#ifndef CONDUCTOR_H
#define CONDUCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define CONDUCTOR_C_LINKAGE extern "C"
#else
#define CONDUCTOR_C_LINKAGE
#endif

#define CONDUCTOR_ABI 1
#define CONDUCTOR_ROWS_MOST 65536 /* rows, keys or values of one call */

enum conductor_error {
	CONDUCTOR_MEMORY = -1,      /* outside the guest's memory, or misaligned */
	CONDUCTOR_HANDLE = -2,      /* no such handle, or one of another kind */
	CONDUCTOR_ARGUMENT = -3,    /* a value out of range, or text that is not UTF-8 */
	CONDUCTOR_DENIED = -4,      /* the grant does not allow it */
	CONDUCTOR_NOT_FOUND = -5,   /* no such map, key or saved state */
	CONDUCTOR_NO_ROOM = -6,     /* the buffer holds not even one unit */
	CONDUCTOR_FULL = -7,        /* the map is full */
	CONDUCTOR_UNSUPPORTED = -8, /* this type of map does not know the operation */
	CONDUCTOR_BUDGET = -9,      /* a budget of this program is spent */
	CONDUCTOR_KERNEL = -10,     /* the kernel refused; the program's log has its word */
	CONDUCTOR_STATE = -11,      /* not at this moment */
};

enum conductor_operation { CONDUCTOR_SET = 0, CONDUCTOR_ADD = 1, CONDUCTOR_OBSERVE = 2 };
enum conductor_level { CONDUCTOR_DEBUG = 0, CONDUCTOR_INFO = 1, CONDUCTOR_WARNING = 2, CONDUCTOR_ERROR = 3 };
enum conductor_clock_kind { CONDUCTOR_REALTIME = 0, CONDUCTOR_MONOTONIC = 1 };
enum conductor_update_flags { CONDUCTOR_ANY = 0, CONDUCTOR_NEW = 1, CONDUCTOR_PRESENT = 2 };

enum conductor_map_kind { /* the kernel's enum bpf_map_type */
	CONDUCTOR_MAP_OTHER = 0,
	CONDUCTOR_MAP_HASH = 1,
	CONDUCTOR_MAP_ARRAY = 2,
	CONDUCTOR_MAP_PERF_EVENT_ARRAY = 4,
	CONDUCTOR_MAP_PERCPU_HASH = 5,
	CONDUCTOR_MAP_PERCPU_ARRAY = 6,
	CONDUCTOR_MAP_STACK_TRACE = 7,
	CONDUCTOR_MAP_LRU_HASH = 9,
	CONDUCTOR_MAP_LRU_PERCPU_HASH = 10,
	CONDUCTOR_MAP_LPM_TRIE = 11,
	CONDUCTOR_MAP_QUEUE = 22,
	CONDUCTOR_MAP_STACK = 23,
	CONDUCTOR_MAP_RINGBUF = 27,
};

struct conductor_map_info {
	uint32_t type;        /* enum conductor_map_kind */
	uint32_t key_size;    /* bytes of a key */
	uint32_t value_size;  /* bytes of a value, of one CPU where per-CPU */
	uint32_t stride;      /* bytes from value to value in a batch */
	uint32_t max_entries; /* entries that fit; bytes of a ring buffer */
	uint32_t cpus;        /* slots of a value, 1 unless per-CPU */
	uint32_t access;      /* 0 read, 1 consume, 2 read and write */
	uint32_t reserved;
};

struct conductor_record {
	uint32_t length; /* bytes of data that follow; bit 30: discarded */
	uint32_t offset; /* the kernel's */
};

_Static_assert(sizeof(struct conductor_map_info) == 32, "conductor_v1");
_Static_assert(sizeof(struct conductor_record) == 8, "conductor_v1");

/* --- the imports, one to one ------------------------------------------------------------------------------------- */

#define CONDUCTOR_IMPORT(name) \
	__attribute__((import_module("conductor_v1"), import_name(#name))) extern

CONDUCTOR_IMPORT(map_open) int32_t conductor_map_open(const char *name, uint32_t name_size);
CONDUCTOR_IMPORT(map_info) int32_t conductor_map_info(int32_t map, struct conductor_map_info *out);
CONDUCTOR_IMPORT(map_rewind) int32_t conductor_map_rewind(int32_t map);
CONDUCTOR_IMPORT(map_batch) int32_t conductor_map_batch(int32_t map, void *keys, void *values, uint32_t room);
CONDUCTOR_IMPORT(map_lookup)
int32_t conductor_map_lookup(int32_t map, const void *keys, uint32_t count, void *values, uint8_t *found);
CONDUCTOR_IMPORT(map_update)
int32_t conductor_map_update(int32_t map, const void *keys, const void *values, uint32_t count, uint32_t flags);
CONDUCTOR_IMPORT(map_delete) int32_t conductor_map_delete(int32_t map, const void *keys, uint32_t count);
CONDUCTOR_IMPORT(map_pop) int32_t conductor_map_pop(int32_t map, void *values, uint32_t room);
CONDUCTOR_IMPORT(stream_open) int32_t conductor_stream_open(int32_t map, void *buffer, uint32_t size);
CONDUCTOR_IMPORT(metric_declare) int32_t conductor_metric_declare(const char *json, uint32_t json_size);
CONDUCTOR_IMPORT(metric_series)
int32_t conductor_metric_series(int32_t metric, const void *rows, uint32_t rows_size, uint32_t count, int32_t *ids);
CONDUCTOR_IMPORT(metric_write)
int32_t conductor_metric_write(int32_t operation, const int32_t *ids, const double *values, uint32_t count);
CONDUCTOR_IMPORT(metric_bins)
int32_t conductor_metric_bins(int32_t operation, int32_t metric, const int32_t *ids, const double *bins,
			      const double *sums, uint32_t count);
CONDUCTOR_IMPORT(metric_remove) int32_t conductor_metric_remove(const int32_t *ids, uint32_t count);
CONDUCTOR_IMPORT(lookup_workloads)
int32_t conductor_lookup_workloads(const void *addresses, uint32_t count, void *out, uint32_t room);
CONDUCTOR_IMPORT(lookup_containers)
int32_t conductor_lookup_containers(const uint64_t *cgroup_ids, uint32_t count, void *out, uint32_t room);
CONDUCTOR_IMPORT(lookup_local) int32_t conductor_lookup_local(const void *addresses, uint32_t count, uint8_t *out);
CONDUCTOR_IMPORT(config_read) int32_t conductor_config_read(char *out, uint32_t room);
CONDUCTOR_IMPORT(log) int32_t conductor_log(int32_t level, const char *text, uint32_t text_size);
CONDUCTOR_IMPORT(state_read) int32_t conductor_state_read(void *out, uint32_t room);
CONDUCTOR_IMPORT(state_write) int32_t conductor_state_write(const void *data, uint32_t data_size);
CONDUCTOR_IMPORT(clock) int64_t conductor_clock(int32_t kind);
CONDUCTOR_IMPORT(random) int32_t conductor_random(void *out, uint32_t size);

/* --- the exports ------------------------------------------------------------------------------------------------- */

#define CONDUCTOR_EXPORT(name) CONDUCTOR_C_LINKAGE __attribute__((export_name("conductor_v1_" #name)))

#define CONDUCTOR_START() CONDUCTOR_EXPORT(start) int32_t conductor_v1_start(void)
#define CONDUCTOR_TICK(now) CONDUCTOR_EXPORT(tick) int32_t conductor_v1_tick(__attribute__((unused)) int64_t now)
#define CONDUCTOR_EVENTS(stream, buffer, size, records)                                          \
	CONDUCTOR_EXPORT(events)                                                                  \
	int32_t conductor_v1_events(__attribute__((unused)) int32_t stream, const uint8_t *buffer, \
				    uint32_t size, __attribute__((unused)) uint32_t records)
#define CONDUCTOR_SAVE() CONDUCTOR_EXPORT(save) int32_t conductor_v1_save(void)
#define CONDUCTOR_HEALTHY() CONDUCTOR_EXPORT(healthy) int32_t conductor_v1_healthy(void)

/* --- comfort ----------------------------------------------------------------------------------------------------- */

#define CONDUCTOR_ALIGNED __attribute__((aligned(8)))

static inline uint32_t conductor_length(const char *text)
{
	uint32_t n = 0;
	while (text[n])
		n++;
	return n;
}

/* Open the map of a need; below 0 on failure. */
static inline int32_t conductor_map(const char *need)
{
	return conductor_map_open(need, conductor_length(need));
}

/* Declare a metric from a JSON text: CONDUCTOR_METRIC("{\"name\": \"x_total\", \"type\": \"counter\"}"). */
static inline int32_t conductor_metric(const char *json)
{
	return conductor_metric_declare(json, conductor_length(json));
}

/* Say something in the program's log. */
static inline void conductor_say(enum conductor_level level, const char *text)
{
	(void)conductor_log(level, text, conductor_length(text));
}

/* Rows of label values, packed as metric_series takes them: conductor_row_text for each label, row after row. A row that
 * does not fit sets `full`, and nothing more is put in. */
struct conductor_rows {
	uint8_t *at;
	uint32_t size, room;
	bool full;
};

#define CONDUCTOR_ROWS(buffer) ((struct conductor_rows){(uint8_t *)(buffer), 0, sizeof(buffer), false})

static inline bool conductor_row_begin(struct conductor_rows *rows, uint32_t size)
{
	uint32_t i;
	if (rows->full || rows->room - rows->size < 4 || rows->room - rows->size - 4 < size) {
		rows->full = true;
		return false;
	}
	for (i = 0; i < 4; i++)
		rows->at[rows->size++] = (uint8_t)(size >> (8 * i));
	return true;
}

static inline void conductor_row_bytes(struct conductor_rows *rows, const void *text, uint32_t size)
{
	uint32_t i;
	if (conductor_row_begin(rows, size))
		for (i = 0; i < size; i++)
			rows->at[rows->size++] = ((const uint8_t *)text)[i];
}

static inline void conductor_row_text(struct conductor_rows *rows, const char *text)
{
	conductor_row_bytes(rows, text, conductor_length(text));
}

/* A kernel's char array: ends at the first NUL, or where it is full. */
static inline void conductor_row_chars(struct conductor_rows *rows, const char *text, uint32_t most)
{
	uint32_t n = 0;
	while (n < most && text[n])
		n++;
	conductor_row_bytes(rows, text, n);
}

/* Written from the first digit on: clang 14 loses digits of a number that is put together backwards and then copied. */
static inline void conductor_row_number(struct conductor_rows *rows, uint64_t number)
{
	uint64_t place = 1;
	uint32_t size = 1;
	for (; number / place >= 10; place *= 10)
		size++;
	if (conductor_row_begin(rows, size))
		for (; size--; place /= 10)
			rows->at[rows->size++] = (uint8_t)('0' + number / place % 10);
}

/* The one series of a metric without labels. */
static inline int32_t conductor_series(int32_t metric)
{
	int32_t id = -1;
	int32_t answer = conductor_metric_series(metric, &id, 0, 1, &id);
	return answer < 0 ? answer : id;
}

static inline int32_t conductor_write(enum conductor_operation operation, int32_t id, double value)
{
	return conductor_metric_write(operation, &id, &value, 1);
}

/* Go through a batch of records: for each that was not discarded, `data` and `length` are its bytes.
 *     const void *data; uint32_t length;
 *     for (uint32_t at = 0; (at = conductor_next(buffer, size, at, &data, &length)) != 0;) ...
 */
static inline uint32_t conductor_next(const void *buffer, uint32_t size, uint32_t at, const void **data,
				      uint32_t *length)
{
	while (at + 8 <= size) {
		const struct conductor_record *record =
			(const struct conductor_record *)((const uint8_t *)buffer + at);
		uint32_t bytes = record->length & 0x3fffffffu;
		at += 8 + ((bytes + 7) & ~7u);
		if (record->length & (1u << 30))
			continue;
		*data = record + 1;
		*length = bytes;
		return at;
	}
	return 0;
}

/* Read the sized texts that look-ups write: `at` moves on, the answer points into `out`. */
static inline const char *conductor_text(const void *out, uint32_t *at, uint32_t *size)
{
	const uint8_t *p = (const uint8_t *)out + *at;
	*size = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	*at += 4 + *size;
	return (const char *)p + 4;
}

static inline int32_t conductor_skip_blanks(const char *text, int32_t i, int32_t size)
{
	while (i < size && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r'))
		i++;
	return i;
}

static inline int32_t conductor_is_text(const char *text, int32_t size, const char *wanted)
{
	int32_t i = 0;
	while (i < size && wanted[i] == text[i])
		i++;
	return i == size && !wanted[i];
}

static inline double conductor_decimal(const char *text, int32_t i, int32_t size)
{
	double value = 0, scale = 1, sign = i < size && text[i] == '-' ? -1 : 1;
	for (i += sign < 0; i < size && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (text[i] - '0');
	if (i < size && text[i] == '.')
		for (i++; i < size && text[i] >= '0' && text[i] <= '9'; i++)
			value += (text[i] - '0') * (scale /= 10);
	return sign * value;
}

/* A number of the config (a JSON object) by its key; `otherwise` where it is not set, or no plain decimal number. */
static inline double conductor_config_number(const char *key, double otherwise)
{
	char config[2048];
	int32_t size = conductor_config_read(config, sizeof(config)), i = 0, begin, depth = 0;
	if (size > (int32_t)sizeof(config))
		return otherwise;
	while (i < size) {
		char c = config[i++];
		depth += (c == '{' || c == '[') - (c == '}' || c == ']');
		if (c != '"')
			continue;
		for (begin = i; i < size && config[i] != '"'; i++)
			i += config[i] == '\\';
		if (depth != 1 || !conductor_is_text(config + begin, i - begin, key)) {
			i++;
			continue;
		}
		i = conductor_skip_blanks(config, i + 1, size);
		if (i >= size || config[i] != ':')
			continue; /* a value that reads like the key */
		i = conductor_skip_blanks(config, i + 1, size);
		if (i < size && (config[i] == '-' || (config[i] >= '0' && config[i] <= '9')))
			return conductor_decimal(config, i, size);
		return otherwise;
	}
	return otherwise;
}

#ifdef __cplusplus
}
#endif
#endif
