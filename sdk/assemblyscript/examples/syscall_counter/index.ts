// SPDX-License-Identifier: Apache-2.0
// Show how often each system call was made, from the totals that the kernel half keeps per CPU.
import { Map, Operation, declareMetric, series, write } from "../../conductor";

const SYSCALLS = 1024;
const keys = new StaticArray<u32>(SYSCALLS);
const values = new StaticArray<u64>(SYSCALLS * 8);
const known = new StaticArray<i32>(SYSCALLS).fill(-1); // series by number of the call
const ids = new StaticArray<i32>(SYSCALLS);
const totals = new StaticArray<f64>(SYSCALLS);
let counts!: Map;
let calls: i32 = -1;

export function conductor_v1_start(): i32 {
  counts = new Map("counts");
  calls = declareMetric(
    '{"name": "syscall_counter_calls_total", "type": "counter", "help": "System calls made.", "labels": ["nr"]}'
  );
  return counts.handle < 0 || calls < 0 ? 1 : 0;
}

export function conductor_v1_tick(now: i64): i32 {
  const slots = <i32>counts.info.stride / 8;
  let used = 0;
  let got = counts.batch(keys, values);
  for (; got > 0; got = counts.batch(keys, values)) {
    for (let i = 0; i < got; i++) {
      let total: u64 = 0;
      for (let slot = 0; slot < slots; slot++) total += values[i * slots + slot];
      const nr = <i32>keys[i];
      if (total == 0 || nr >= SYSCALLS) continue;
      if (known[nr] < 0) known[nr] = series(calls, [nr.toString()], 1)[0];
      ids[used] = known[nr];
      totals[used++] = <f64>total;
    }
  }
  write(Operation.SET, ids, totals, used);
  return got;
}
