// The rival: read a pinned hash map by batches through libbpf and sum its values by group, as often as told.
// usage: map_reader PIN ROUNDS ; prints entries, the sum of all groups, and nanoseconds of the fastest and median round
#include <bpf/bpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct value {
	uint64_t packets;
	uint64_t bytes;
};

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int smaller(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	LIBBPF_OPTS(bpf_obj_get_opts, open_opts, .file_flags = BPF_F_RDONLY);
	int map = bpf_obj_get_opts(argv[1], &open_opts);
	int rounds = atoi(argv[2]);
	const uint32_t room = 131072;
	uint64_t *keys = malloc(room * sizeof(*keys)), *times = calloc(rounds, sizeof(*times));
	struct value *values = malloc(room * sizeof(*values));
	uint64_t packets[256], bytes[256], entries = 0;
	if (map < 0 || !keys || !values || !times)
		return 1;
	for (int round = 0; round < rounds; round++) {
		uint64_t start = now();
		uint32_t in = 0, out = 0, count;
		bool first = true;
		LIBBPF_OPTS(bpf_map_batch_opts, opts);
		memset(packets, 0, sizeof(packets));
		memset(bytes, 0, sizeof(bytes));
		entries = 0;
		for (int err = 0; !err; first = false) {
			count = room;
			err = bpf_map_lookup_batch(map, first ? NULL : &in, &out, keys, values, &count, &opts);
			if (err && errno != ENOENT)
				return 1;
			for (uint32_t i = 0; i < count; i++) {
				packets[keys[i] & 255] += values[i].packets;
				bytes[keys[i] & 255] += values[i].bytes;
			}
			entries += count;
			in = out;
		}
		times[round] = now() - start;
	}
	uint64_t sum = 0;
	for (int i = 0; i < 256; i++)
		sum += packets[i] + bytes[i];
	qsort(times, rounds, sizeof(*times), smaller);
	printf("%llu %llu %llu %llu\n", (unsigned long long)entries, (unsigned long long)sum,
	       (unsigned long long)times[0], (unsigned long long)times[rounds / 2]);
	return 0;
}
