// SPDX-License-Identifier: Apache-2.0
/* Show pressure as a program feels it: how much later than due its ticks come. Needs no kernel half and no map.
 *
 * Counters live in the host and go on by themselves. A maximum does not: it is saved, and read again by the next instance. */
#include "conductor.h"

#define FORMAT 1 /* of the state: a version that does not know it begins anew */

static struct state {
	uint64_t format;
	double worst;
} state = {FORMAT, 0};
static int32_t delay, stalled, ticks, worst;
static int64_t before;
static double interval, patience, late;

static void restore(void)
{
	struct state saved;

	if (conductor_state_read(&saved, sizeof(saved)) == sizeof(saved) && saved.format == FORMAT)
		state = saved;
}

CONDUCTOR_START()
{
	restore();
	interval = conductor_config_number("interval", 1);
	patience = conductor_config_number("patience", 60);
	delay = conductor_series(conductor_metric("{\"name\": \"psi_watch_delay_seconds\", \"type\": \"histogram\", "
						  "\"help\": \"How late ticks came.\", \"unit\": \"seconds\", "
						  "\"buckets\": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1]}"));
	stalled = conductor_series(conductor_metric("{\"name\": \"psi_watch_stalled_seconds_total\", \"type\": \"counter\", "
						    "\"help\": \"Time that ticks waited in all.\"}"));
	ticks = conductor_series(conductor_metric("{\"name\": \"psi_watch_ticks_total\", \"type\": \"counter\", "
						  "\"help\": \"Ticks so far.\"}"));
	worst = conductor_series(conductor_metric("{\"name\": \"psi_watch_worst_delay_seconds\", \"type\": \"gauge\", "
						  "\"help\": \"The latest that a tick ever came.\", \"unit\": \"seconds\"}"));
	return delay < 0 || stalled < 0 || ticks < 0 || worst < 0;
}

CONDUCTOR_TICK(now)
{
	late = before ? (double)(now - before) / 1e9 - interval : 0;
	late = late > 0 ? late : 0;
	before = now;
	state.worst = late > state.worst ? late : state.worst;
	conductor_write(CONDUCTOR_OBSERVE, delay, late);
	conductor_write(CONDUCTOR_ADD, stalled, late);
	conductor_write(CONDUCTOR_ADD, ticks, 1);
	conductor_write(CONDUCTOR_SET, worst, state.worst);
	return 0;
}

CONDUCTOR_SAVE()
{
	return conductor_state_write(&state, sizeof(state));
}

/* Asked while an update is watched: an answer of 0 brings the version before back. */
CONDUCTOR_HEALTHY()
{
	return late <= patience;
}
