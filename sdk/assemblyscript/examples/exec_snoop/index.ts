// SPDX-License-Identifier: Apache-2.0
// Count the programs that are started, by command. The ring buffer's records come in batches.
import * as conductor from "../../conductor";

const COMMAND = 8; // offset in an event: u32 pid, u32 uid, char command[16]
const EVENT: u32 = 24;

const buffer = new StaticArray<u64>(2048);
const key = new StaticArray<u32>(1);
const lost = new StaticArray<u64>(1);
const found = new StaticArray<u8>(1);
const started = new Map<string, f64>(); // since the last tick
const known = new Map<string, i32>();
let losses!: conductor.Map;
let execs: i32 = -1;
let lostSeries: i32 = -1;

export function conductor_v1_start(): i32 {
  const ring = new conductor.Map("execs");
  losses = new conductor.Map("lost");
  if (ring.handle < 0 || conductor.openStream(ring, buffer) < 0) return 1;
  execs = conductor.declareMetric(
    '{"name": "exec_snoop_execs_total", "type": "counter", "help": "Programs started.", "labels": ["command"]}'
  );
  lostSeries = conductor.alone(conductor.declareMetric(
    '{"name": "exec_snoop_lost_total", "type": "counter", "help": "Starts that found the ring buffer full."}'
  ));
  return execs < 0 || lostSeries < 0 ? 1 : 0;
}

export function conductor_v1_events(stream: i32, from: usize, size: u32, count: u32): i32 {
  const records = new conductor.Records(from, size);
  while (records.next()) {
    if (records.size < EVENT) continue;
    const command = conductor.chars(records.data + COMMAND, 16);
    started.set(command, (started.has(command) ? started.get(command) : 0) + 1);
  }
  return 0;
}

export function conductor_v1_tick(now: i64): i32 {
  const commands = started.keys();
  const fresh = commands.filter((command) => !known.has(command));
  const ids = conductor.series(execs, fresh, fresh.length);
  for (let i = 0; i < fresh.length; i++) if (ids[i] >= 0) known.set(fresh[i], ids[i]);

  const written = new StaticArray<i32>(commands.length);
  const values = new StaticArray<f64>(commands.length);
  for (let i = 0; i < commands.length; i++) {
    written[i] = known.has(commands[i]) ? known.get(commands[i]) : -1;
    values[i] = started.get(commands[i]);
  }
  // Counted here: add. Counted by the kernel half: set. The host's counters outlive this instance.
  conductor.write(conductor.Operation.ADD, written, values, commands.length);
  started.clear();
  if (losses.lookup(key, 1, lost, found) == 1) conductor.writeOne(conductor.Operation.SET, lostSeries, <f64>lost[0]);
  return 0;
}

/** No state, but the last chance to write what was counted since the last tick. */
export function conductor_v1_save(): i32 {
  return conductor_v1_tick(0);
}
