// The rival: take the records of a pinned ring buffer through libbpf and sum a field, until standard input ends.
// usage: ring_reader PIN ; each time `every` more were taken, as a line on standard input says, prints time, count and sum;
// "0" asks for count, sum and CPU nanoseconds at once
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct event {
	uint64_t value;
	uint64_t more[7];
};

static uint64_t count, sum, next;

static uint64_t now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int take(void *context, void *data, size_t size)
{
	(void)context;
	if (size < sizeof(struct event))
		return 0;
	sum += ((const struct event *)data)->value;
	if (++count == next)
		printf("%llu %llu %llu\n", (unsigned long long)now(CLOCK_MONOTONIC), (unsigned long long)count,
		       (unsigned long long)sum);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	int map = bpf_obj_get(argv[1]);
	struct ring_buffer *ring = map < 0 ? NULL : ring_buffer__new(map, take, NULL, NULL);
	if (!ring)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	struct pollfd wait[2] = {{.fd = 0, .events = POLLIN}, {.fd = ring_buffer__epoll_fd(ring), .events = POLLIN}};
	for (;;) {
		unsigned long long every;
		if (poll(wait, 2, 1000) < 0)
			return 1;
		if (wait[1].revents && ring_buffer__consume(ring) < 0)
			return 1;
		if (!wait[0].revents)
			continue;
		if (scanf("%llu", &every) != 1)
			return 0;
		if (every)
			next = count + every;
		else
			printf("%llu %llu %llu\n", (unsigned long long)count, (unsigned long long)sum,
			       (unsigned long long)now(CLOCK_PROCESS_CPUTIME_ID));
	}
}
