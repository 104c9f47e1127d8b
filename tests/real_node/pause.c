/* What holds a pod's namespaces: waits, reaps, ends when told. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void ended(int number)
{
	(void)number;
	_exit(0);
}

static void reap(int number)
{
	(void)number;
	while (waitpid(-1, 0, WNOHANG) > 0)
		;
}

int main(void)
{
	signal(SIGINT, ended);
	signal(SIGTERM, ended);
	signal(SIGCHLD, reap);
	for (;;)
		pause();
}
