// SPDX-License-Identifier: Apache-2.0
// Show pressure as a program feels it: how much later than due its ticks come. Needs no kernel half and no map.
import { Operation, alone, configNumber, declareMetric, writeOne } from "../../conductor";

let delay: i32 = -1;
let stalled: i32 = -1;
let ticks: i32 = -1;
let interval: f64 = 1;
let before: i64 = 0;

export function conductor_v1_start(): i32 {
  interval = configNumber("interval", 1);
  delay = alone(declareMetric(
    '{"name": "psi_watch_delay_seconds", "type": "histogram", "help": "How late ticks came.", "unit": "seconds", ' +
    '"buckets": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1]}'
  ));
  stalled = alone(declareMetric(
    '{"name": "psi_watch_stalled_seconds_total", "type": "counter", "help": "Time that ticks waited in all."}'
  ));
  ticks = alone(declareMetric('{"name": "psi_watch_ticks_total", "type": "counter", "help": "Ticks so far."}'));
  return delay < 0 || stalled < 0 || ticks < 0 ? 1 : 0;
}

export function conductor_v1_tick(now: i64): i32 {
  const late = before ? max<f64>(<f64>(now - before) / 1e9 - interval, 0) : 0;
  before = now;
  writeOne(Operation.OBSERVE, delay, late);
  writeOne(Operation.ADD, stalled, late);
  writeOne(Operation.ADD, ticks, 1);
  return 0;
}
