// SPDX-License-Identifier: Apache-2.0
// Count ticks, and nothing else: as ticks.c does.
import { Operation, alone, declareMetric, writeOne } from "./conductor";

let ticks: i32 = -1;

export function conductor_v1_start(): i32 {
  ticks = alone(declareMetric('{"name": "ticks_total", "type": "counter", "help": "Ticks so far."}'));
  return ticks < 0 ? 1 : 0;
}

export function conductor_v1_tick(now: i64): i32 {
  writeOne(Operation.ADD, ticks, 1);
  return 0;
}
