// SPDX-License-Identifier: Apache-2.0
/* Show pressure as a program feels it: how much later than due its ticks come. Needs no kernel half and no map. */
#include "conductor.h"

static int32_t delay, stalled, ticks;
static int64_t before;
static double interval;

CONDUCTOR_START()
{
	interval = conductor_config_number("interval", 1);
	delay = conductor_series(conductor_metric("{\"name\": \"psi_watch_delay_seconds\", \"type\": \"histogram\", "
						  "\"help\": \"How late ticks came.\", \"unit\": \"seconds\", "
						  "\"buckets\": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1]}"));
	stalled = conductor_series(conductor_metric("{\"name\": \"psi_watch_stalled_seconds_total\", \"type\": \"counter\", "
						    "\"help\": \"Time that ticks waited in all.\"}"));
	ticks = conductor_series(conductor_metric("{\"name\": \"psi_watch_ticks_total\", \"type\": \"counter\", "
						  "\"help\": \"Ticks so far.\"}"));
	return delay < 0 || stalled < 0 || ticks < 0;
}

CONDUCTOR_TICK(now)
{
	double late = before ? (double)(now - before) / 1e9 - interval : 0;

	before = now;
	late = late > 0 ? late : 0;
	conductor_write(CONDUCTOR_OBSERVE, delay, late);
	conductor_write(CONDUCTOR_ADD, stalled, late);
	conductor_write(CONDUCTOR_ADD, ticks, 1);
	return 0;
}
