// SPDX-License-Identifier: Apache-2.0
// Guest programs of eBPFConductor in AssemblyScript: the ABI conductor_v1. This file is the whole SDK.
//
// A program exports functions of these names; only tick is required. Other than 0 means: failed.
//
//   export function conductor_v1_start(): i32                  once: open maps and streams, declare metrics
//   export function conductor_v1_tick(now: i64): i32           every interval; `now` is monotonic nanoseconds
//   export function conductor_v1_events(stream: i32, buffer: usize, size: u32, records: u32): i32
//   export function conductor_v1_save(): i32                   save state by `save`
//   export function conductor_v1_healthy(): i32                1 while well
//
// Everything moves in batches: whole arrays of keys, values, label rows and numbers. Arrays are StaticArray, whose data
// is aligned as the host wants it. Answers below 0 are of enum Fault.

export enum Fault {
  MEMORY = -1, // outside the guest's memory, or misaligned
  HANDLE = -2, // no such handle, or one of another kind
  ARGUMENT = -3, // a value out of range, or text that is not UTF-8
  DENIED = -4, // the grant does not allow it
  NOT_FOUND = -5, // no such map, key or saved state
  NO_ROOM = -6, // the buffer holds not even one unit
  FULL = -7, // the map is full
  UNSUPPORTED = -8, // this type of map does not know the operation
  BUDGET = -9, // a budget of this program is spent
  KERNEL = -10, // the kernel refused; the program's log has its word
  STATE = -11, // not at this moment
}

export enum Operation {
  SET = 0,
  ADD = 1,
  OBSERVE = 2,
}

export enum Level {
  DEBUG = 0,
  INFO = 1,
  WARNING = 2,
  ERROR = 3,
}

/** The imports, one to one. */
export namespace raw {
  // @ts-ignore: decorator
  @external("conductor_v1", "map_open")
  export declare function map_open(name: usize, name_size: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "map_info")
  export declare function map_info(map: i32, out: usize): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "map_rewind")
  export declare function map_rewind(map: i32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "map_batch")
  export declare function map_batch(map: i32, keys: usize, values: usize, room: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "map_lookup")
  export declare function map_lookup(map: i32, keys: usize, count: u32, values: usize, found: usize): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "map_update")
  export declare function map_update(map: i32, keys: usize, values: usize, count: u32, flags: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "map_delete")
  export declare function map_delete(map: i32, keys: usize, count: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "map_pop")
  export declare function map_pop(map: i32, values: usize, room: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "stream_open")
  export declare function stream_open(map: i32, buffer: usize, size: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "metric_declare")
  export declare function metric_declare(json: usize, json_size: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "metric_series")
  export declare function metric_series(metric: i32, rows: usize, rows_size: u32, count: u32, ids: usize): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "metric_write")
  export declare function metric_write(operation: i32, ids: usize, values: usize, count: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "metric_bins")
  export declare function metric_bins(
    operation: i32, metric: i32, ids: usize, bins: usize, sums: usize, count: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "metric_remove")
  export declare function metric_remove(ids: usize, count: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "lookup_workloads")
  export declare function lookup_workloads(addresses: usize, count: u32, out: usize, room: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "lookup_containers")
  export declare function lookup_containers(cgroup_ids: usize, count: u32, out: usize, room: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "lookup_local")
  export declare function lookup_local(addresses: usize, count: u32, out: usize): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "config_read")
  export declare function config_read(out: usize, room: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "log")
  export declare function log(level: i32, text: usize, text_size: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "state_read")
  export declare function state_read(out: usize, room: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "state_write")
  export declare function state_write(data: usize, data_size: u32): i32;
  // @ts-ignore: decorator
  @external("conductor_v1", "clock")
  export declare function clock(kind: i32): i64;
  // @ts-ignore: decorator
  @external("conductor_v1", "random")
  export declare function random(out: usize, size: u32): i32;
}

/** Where the data of an array begins. */
// @ts-ignore: decorator
@inline
export function at<T>(array: StaticArray<T>): usize {
  return changetype<usize>(array);
}

/** What the host says of an opened map. */
@unmanaged
export class MapInfo {
  /** The kernel's number (enum bpf_map_type). */
  type: u32;
  key_size: u32;
  /** Bytes of a value, of one CPU where per-CPU. */
  value_size: u32;
  /** Bytes from value to value in a batch. */
  stride: u32;
  /** Entries that fit; bytes of a ring buffer. */
  max_entries: u32;
  /** Slots of a value, 1 unless per-CPU. */
  cpus: u32;
  /** 0 read, 1 consume, 2 read and write. */
  access: u32;
  reserved: u32;
}

/** A map of the kernel half. `handle` is below 0 where it could not be opened. */
export class Map {
  handle: i32;
  private infoBytes: StaticArray<u32> = new StaticArray<u32>(8);

  /** Open the map of a need. */
  constructor(need: string) {
    const name = String.UTF8.encode(need);
    this.handle = raw.map_open(changetype<usize>(name), name.byteLength);
    if (this.handle >= 0) raw.map_info(this.handle, at(this.infoBytes));
  }

  get info(): MapInfo {
    return changetype<MapInfo>(at(this.infoBytes));
  }

  /** Let the kernel write as many entries as fit; answers how many, 0 at the end. A value takes `info.stride` bytes. */
  batch<K, V>(keys: StaticArray<K>, values: StaticArray<V>): i32 {
    const room = min<u32>(keys.length * sizeof<K>() / this.info.key_size, values.length * sizeof<V>() / this.info.stride);
    return raw.map_batch(this.handle, at(keys), at(values), room);
  }

  /** Look up `count` keys; value i lies at i * `info.stride`, found[i] is 1 or 0. */
  lookup<K, V>(keys: StaticArray<K>, count: u32, values: StaticArray<V>, found: StaticArray<u8>): i32 {
    if (<u32>keys.length * sizeof<K>() < count * this.info.key_size) return Fault.NO_ROOM;
    if (<u32>values.length * sizeof<V>() < count * this.info.stride || <u32>found.length < count) return Fault.NO_ROOM;
    return raw.map_lookup(this.handle, at(keys), count, at(values), at(found));
  }

  /** Write `count` entries (flags: 0 any, 1 only new, 2 only present); answers how many were written. */
  update<K, V>(keys: StaticArray<K>, values: StaticArray<V>, count: u32, flags: u32 = 0): i32 {
    if (<u32>keys.length * sizeof<K>() < count * this.info.key_size) return Fault.NO_ROOM;
    if (<u32>values.length * sizeof<V>() < count * this.info.stride) return Fault.NO_ROOM;
    return raw.map_update(this.handle, at(keys), at(values), count, flags);
  }

  /** Delete `count` keys; answers how many were there. */
  remove<K>(keys: StaticArray<K>, count: u32): i32 {
    if (<u32>keys.length * sizeof<K>() < count * this.info.key_size) return Fault.NO_ROOM;
    return raw.map_delete(this.handle, at(keys), count);
  }

  /** Take elements of a queue or stack; answers how many. */
  pop<V>(values: StaticArray<V>): i32 {
    return raw.map_pop(this.handle, at(values), values.length * sizeof<V>() / max<u32>(this.info.stride, 1));
  }

  /** Begin the walk of `batch` anew. */
  rewind(): i32 {
    return raw.map_rewind(this.handle);
  }
}

/** Say something in the program's log. */
export function say(level: Level, text: string): void {
  const bytes = String.UTF8.encode(text);
  raw.log(level, changetype<usize>(bytes), bytes.byteLength);
}

/** Declare a metric from JSON: `{"name": "x_total", "type": "counter", "help": "…", "labels": ["a"]}`. */
export function declareMetric(json: string): i32 {
  const bytes = String.UTF8.encode(json);
  return raw.metric_declare(changetype<usize>(bytes), bytes.byteLength);
}

/** Series of rows of label values, one after the other: `labels` holds rows * labels-per-row texts. -1: refused. */
export function series(metric: i32, labels: string[], rows: i32): StaticArray<i32> {
  let size = 0;
  for (let i = 0; i < labels.length; i++) size += 4 + String.UTF8.byteLength(labels[i]);
  const packed = new StaticArray<u8>(size);
  let to = at(packed);
  for (let i = 0; i < labels.length; i++) {
    const bytes = String.UTF8.encode(labels[i]);
    store<u32>(to, bytes.byteLength);
    memory.copy(to + 4, changetype<usize>(bytes), bytes.byteLength);
    to += 4 + bytes.byteLength;
  }
  const ids = new StaticArray<i32>(rows).fill(-1);
  raw.metric_series(metric, at(packed), size, rows, at(ids));
  return ids;
}

/** The one series of a metric without labels. */
export function alone(metric: i32): i32 {
  return series(metric, [], 1)[0];
}

/** Write the first `count` values to the first `count` series. */
export function write(operation: Operation, ids: StaticArray<i32>, values: StaticArray<f64>, count: i32): i32 {
  if (count > ids.length || count > values.length) return Fault.ARGUMENT;
  return raw.metric_write(operation, at(ids), at(values), count);
}

/** Write one value to one series. */
export function writeOne(operation: Operation, id: i32, value: f64): i32 {
  return write(operation, [id], [value], 1);
}

/** Write pre-binned histograms: for each series one row of bucket counts (the last is +Inf) at `bins`, and one sum. */
export function writeBins(
  operation: Operation, metric: i32, ids: StaticArray<i32>, bins: StaticArray<f64>, sums: StaticArray<f64>, count: i32): i32 {
  if (count > ids.length || count > sums.length) return Fault.ARGUMENT;
  return raw.metric_bins(operation, metric, at(ids), at(bins), at(sums), count);
}

/** Take series off the page. */
export function removeSeries(ids: StaticArray<i32>): i32 {
  return raw.metric_remove(at(ids), ids.length);
}

/** Nanoseconds since 1970. */
export function wallClock(): i64 {
  return raw.clock(0);
}

/** Nanoseconds that never go back. */
export function monotonic(): i64 {
  return raw.clock(1);
}

/** Have the records of a ring buffer delivered to conductor_v1_events; only from start. Keep `buffer` in a global. */
export function openStream(map: Map, buffer: StaticArray<u64>): i32 {
  return raw.stream_open(map.handle, at(buffer), buffer.length << 3);
}

/** Go through a batch of records, discarded ones left out: `while (records.next()) … records.data, records.size`. */
export class Records {
  data: usize = 0;
  size: u32 = 0;
  private end: usize;

  constructor(private from: usize, size: u32) {
    this.end = from + size;
  }

  next(): bool {
    while (this.from + 8 <= this.end) {
      const header = load<u32>(this.from);
      this.data = this.from + 8;
      this.size = header & 0x3fffffff;
      this.from = this.data + ((this.size + 7) & ~7);
      if (!(header & (1 << 30))) return true;
    }
    return false;
  }
}

/** A kernel's char array: ends at the first NUL, or where it is full. */
export function chars(from: usize, most: i32): string {
  let size = 0;
  while (size < most && load<u8>(from + size)) size++;
  return String.UTF8.decodeUnsafe(from, size);
}

/** Who stands behind `count` addresses of 16 bytes: per address kind, namespace and name, as Texts; null on a refusal. */
export function lookupWorkloads(addresses: StaticArray<u8>, count: u32): StaticArray<u8> | null {
  if (<u32>addresses.length < 16 * count) return null;
  const size = raw.lookup_workloads(at(addresses), count, 0, 0);
  if (size < 0) return null;
  const out = new StaticArray<u8>(size);
  return raw.lookup_workloads(at(addresses), count, at(out), size) == size ? out : null;
}

/** The containers of cgroup ids: per id container id and pod UID, as Texts; null on a refusal. */
export function lookupContainers(ids: StaticArray<u64>, count: u32): StaticArray<u8> | null {
  if (<u32>ids.length < count) return null;
  const size = raw.lookup_containers(at(ids), count, 0, 0);
  if (size < 0) return null;
  const out = new StaticArray<u8>(size);
  return raw.lookup_containers(at(ids), count, at(out), size) == size ? out : null;
}

/** The sized texts that look-ups answer, one after the other. */
export class Texts {
  private from: usize;

  constructor(bytes: StaticArray<u8>) {
    this.from = at(bytes);
  }

  next(): string {
    const size = load<u32>(this.from);
    this.from += 4 + size;
    return String.UTF8.decodeUnsafe(this.from - size, size);
  }
}

/** The config as JSON text. */
export function config(): string {
  const size = raw.config_read(0, 0);
  if (size <= 0) return "{}";
  const bytes = new StaticArray<u8>(size);
  raw.config_read(at(bytes), size);
  return String.UTF8.decodeUnsafe(at(bytes), size);
}

/** A number of the config's top level by its key; `otherwise` where it is not set. */
export function configNumber(key: string, otherwise: f64): f64 {
  const text = config();
  const wanted = '"' + key + '"';
  let from = text.indexOf(wanted);
  while (from >= 0) {
    let i = from + wanted.length;
    while (i < text.length && text.charCodeAt(i) <= 32) i++;
    if (i < text.length && text.charAt(i) == ":") {
      const value = parseFloat(text.substring(i + 1));
      return isNaN(value) ? otherwise : value;
    }
    from = text.indexOf(wanted, from + 1);
  }
  return otherwise;
}

/** Save state, durable when this answers 0. */
export function save(state: StaticArray<u8>): i32 {
  return raw.state_write(at(state), state.length);
}

/** The saved state; null where there is none. */
export function saved(): StaticArray<u8> | null {
  const size = raw.state_read(0, 0);
  if (size < 0) return null;
  const bytes = new StaticArray<u8>(size);
  return raw.state_read(at(bytes), size) < 0 ? null : bytes;
}

/** What AssemblyScript calls before it traps: the message goes to the log (`asc --use abort=conductor/abort`). */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what = message ? message : "abort";
  const where = file ? file : "";
  say(Level.ERROR, what + " at " + where + ":" + line.toString() + ":" + column.toString());
  unreachable();
}
