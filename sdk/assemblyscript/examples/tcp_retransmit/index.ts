// SPDX-License-Identifier: Apache-2.0
// Show TCP segments that were sent again, by who stands behind the remote address: one look-up for a whole batch.
import { Map, Operation, Records, Texts, declareMetric, lookupWorkloads, openStream, series, write } from "../../conductor";

const PORT = 16; // offset in an event: u8 address[16] (IPv4 as v4-mapped), u32 port, u32 reserved
const EVENT: u32 = 24;

const buffer = new StaticArray<u64>(2048);
let segments: i32 = -1;

export function conductor_v1_start(): i32 {
  const ring = new Map("retransmits");
  if (ring.handle < 0 || openStream(ring, buffer) < 0) return 1;
  segments = declareMetric(
    '{"name": "tcp_retransmit_segments_total", "type": "counter", "help": "TCP segments sent again.", "ttl": 3600, ' +
    '"labels": ["kind", "namespace", "name", "port"]}'
  );
  return segments < 0 ? 1 : 0;
}

function isMapped(address: usize): bool {
  return load<u64>(address) == 0 && load<u32>(address, 8) == 0xffff0000;
}

function shown(address: usize): string {
  const parts = new Array<string>();
  if (isMapped(address)) {
    for (let i = 12; i < 16; i++) parts.push(load<u8>(address + i).toString());
    return parts.join(".");
  }
  for (let i = 0; i < 16; i += 2) parts.push(bswap<u16>(load<u16>(address + i)).toString(16).padStart(4, "0"));
  return parts.join(":");
}

export function conductor_v1_events(stream: i32, from: usize, size: u32, count: u32): i32 {
  const records = new Records(from, size);
  const addresses = new StaticArray<u8>(16 * count);
  const ports = new Array<string>();
  while (records.next()) {
    if (records.size < EVENT) continue;
    memory.copy(changetype<usize>(addresses) + 16 * ports.length, records.data, 16);
    ports.push(load<u32>(records.data + PORT).toString());
  }
  const names = lookupWorkloads(addresses, ports.length);
  if (!names) return 1;
  const texts = new Texts(names);
  const labels = new Array<string>();
  const ones = new StaticArray<f64>(ports.length).fill(1);
  for (let i = 0; i < ports.length; i++) {
    const kind = texts.next();
    const namespace = texts.next();
    const name = texts.next();
    labels.push(kind.length ? kind : "External");
    labels.push(namespace);
    labels.push(kind.length ? name : shown(changetype<usize>(addresses) + 16 * i));
    labels.push(ports[i]);
  }
  return write(Operation.ADD, series(segments, labels, ports.length), ones, ports.length) < 0 ? 1 : 0;
}

export function conductor_v1_tick(now: i64): i32 {
  return 0; // all is said as it comes
}
