/*
 * Preloaded into the Rust daemon, which insists on raising RLIMIT_MEMLOCK and gives up where that is refused, although
 * kernels from 5.11 do not count BPF memory against it. Answers 0 to that one request and passes every other on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/resource.h>

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	int (*real)(__rlimit_resource_t, const struct rlimit *);

	if (resource == RLIMIT_MEMLOCK)
		return 0;
	real = dlsym(RTLD_NEXT, "setrlimit");
	return real(resource, limit);
}
