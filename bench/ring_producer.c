// Runs the programs of events.bpf.c, by their pins in a folder, as lines on standard input say:
//   fill BATCHES        fill the ring quietly, then wake its consumer; prints the time of the wake
//   flow RATE MILLIS    records at a rate a second (0: as fast as can be); prints how many, and nanoseconds from first to last
//   flow_narrow RATE MILLIS    the same to the small ring
#include <bpf/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BATCH 100 /* as in events.bpf.c */
#define SLICE 1000000ull /* nanoseconds between bursts of a paced flow */

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int run(int program, uint32_t times)
{
	static char packet[64];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .repeat = times);
	return times ? bpf_prog_test_run_opts(program, &opts) : 0;
}

static int program_of(const char *folder, const char *name)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return bpf_obj_get(path);
}

/* What a late timer would owe is capped: a machine that stands still must not turn into a burst. */
static uint64_t paced(int program, uint64_t rate, uint64_t end)
{
	uint64_t sent = 0, last = now(), owed = 0;
	while (last < end) {
		struct timespec until = {(last + SLICE) / 1000000000ull, (last + SLICE) % 1000000000ull};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		uint64_t t = now(), passed = t - last < 2 * SLICE ? t - last : 2 * SLICE;
		owed += rate * passed / 1000000000ull;
		if (run(program, owed / BATCH))
			return 0;
		sent += owed / BATCH * BATCH;
		owed %= BATCH;
		last = t;
	}
	return sent;
}

static uint64_t flooded(int program, uint64_t end)
{
	uint64_t sent = 0;
	for (; now() < end; sent += 100 * BATCH)
		if (run(program, 100))
			return 0;
	return sent;
}

int main(int argc, char **argv)
{
	char word[16];
	unsigned long long a, b;
	if (argc != 2)
		return 2;
	int fill = program_of(argv[1], "fill"), flow = program_of(argv[1], "flow"), wake = program_of(argv[1], "wake"),
	    narrow = program_of(argv[1], "flow_narrow");
	if (fill < 0 || flow < 0 || wake < 0 || narrow < 0)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (scanf("%15s %llu", word, &a) == 2) {
		if (!strcmp(word, "fill")) {
			if (run(fill, a))
				return 1;
			uint64_t start = now();
			if (run(wake, 1))
				return 1;
			printf("%llu\n", (unsigned long long)start);
		} else {
			if (scanf("%llu", &b) != 1)
				return 2;
			uint64_t start = now(), end = start + b * 1000000;
			int program = strcmp(word, "flow") ? narrow : flow;
			uint64_t sent = a ? paced(program, a, end) : flooded(program, end);
			printf("%llu %llu\n", (unsigned long long)sent, (unsigned long long)(now() - start));
		}
	}
	return 0;
}
