// SPDX-License-Identifier: Apache-2.0
// Show pressure as a program feels it: how much later than due its ticks come. Needs no kernel half and no map.
//
// Counters live in the host and go on by themselves. A maximum does not: it is saved, and read again by the next instance.
import { Operation, alone, at, configNumber, declareMetric, save, saved, writeOne } from "../../conductor";

const FORMAT: u64 = 1; // of the state: a version that does not know it begins anew
const STATE = 16; // u64 format, f64 worst

let delay: i32 = -1;
let stalled: i32 = -1;
let ticks: i32 = -1;
let worst: i32 = -1;
let interval: f64 = 1;
let patience: f64 = 60;
let before: i64 = 0;
let late: f64 = 0;
let worstLate: f64 = 0;

function restore(): void {
  const state = saved();
  if (state && state.length == STATE && load<u64>(at(state)) == FORMAT) worstLate = load<f64>(at(state) + 8);
}

export function conductor_v1_start(): i32 {
  restore();
  interval = configNumber("interval", 1);
  patience = configNumber("patience", 60);
  delay = alone(declareMetric(
    '{"name": "psi_watch_delay_seconds", "type": "histogram", "help": "How late ticks came.", "unit": "seconds", ' +
    '"buckets": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1]}'
  ));
  stalled = alone(declareMetric(
    '{"name": "psi_watch_stalled_seconds_total", "type": "counter", "help": "Time that ticks waited in all."}'
  ));
  ticks = alone(declareMetric('{"name": "psi_watch_ticks_total", "type": "counter", "help": "Ticks so far."}'));
  worst = alone(declareMetric(
    '{"name": "psi_watch_worst_delay_seconds", "type": "gauge", "help": "The latest that a tick ever came.", ' +
    '"unit": "seconds"}'
  ));
  return delay < 0 || stalled < 0 || ticks < 0 || worst < 0 ? 1 : 0;
}

export function conductor_v1_tick(now: i64): i32 {
  late = before ? max<f64>(<f64>(now - before) / 1e9 - interval, 0) : 0;
  before = now;
  worstLate = max(worstLate, late);
  writeOne(Operation.OBSERVE, delay, late);
  writeOne(Operation.ADD, stalled, late);
  writeOne(Operation.ADD, ticks, 1);
  writeOne(Operation.SET, worst, worstLate);
  return 0;
}

export function conductor_v1_save(): i32 {
  const state = new StaticArray<u8>(STATE);
  store<u64>(at(state), FORMAT);
  store<f64>(at(state) + 8, worstLate);
  return save(state);
}

/** Asked while an update is watched: 0 brings the version before back. */
export function conductor_v1_healthy(): i32 {
  return late <= patience ? 1 : 0;
}
