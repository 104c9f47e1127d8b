// SPDX-License-Identifier: Apache-2.0
/* Count ticks, and nothing else: what bench/exporter.py and bench/go/exporter do in a process of their own. */
#include "conductor.h"

static int32_t ticks;

CONDUCTOR_START()
{
	ticks = conductor_series(
		conductor_metric("{\"name\": \"ticks_total\", \"type\": \"counter\", \"help\": \"Ticks so far.\"}"));
	return ticks < 0;
}

CONDUCTOR_TICK(now)
{
	return conductor_write(CONDUCTOR_ADD, ticks, 1) < 0;
}
