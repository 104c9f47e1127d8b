// SPDX-License-Identifier: Apache-2.0
//! Show TCP segments that were sent again, by who stands behind the remote address: one look-up for a whole batch.
use std::net::Ipv6Addr;

use conductor::{lookup_workloads, texts, Error, Map, Metric, Operation, Plain, Program, Records, Rows, Series, Stream};

const BATCH: usize = 256;

#[derive(Clone, Copy)]
#[repr(C)]
struct Event {
    /// IPv4 as v4-mapped.
    address: [u8; 16],
    port: u32,
    reserved: u32,
}

unsafe impl Plain for Event {}

struct TcpRetransmit {
    segments: Metric,
    names: Vec<u8>,
    rows: Box<Rows<65536>>,
}

impl TcpRetransmit {
    fn count(&mut self, events: &[Event]) -> Result<(), Error> {
        let addresses: Vec<[u8; 16]> = events.iter().map(|event| event.address).collect();
        let mut found = texts(lookup_workloads(&addresses, &mut self.names)?);
        self.rows.clear();
        for event in events {
            let [kind, namespace, name] = [found.next(), found.next(), found.next()].map(Option::unwrap_or_default);
            if kind.is_empty() {
                let address = Ipv6Addr::from(event.address);
                let shown = address.to_ipv4_mapped().map_or_else(|| address.to_string(), |v4| v4.to_string());
                self.rows.text("External").text("").text(&shown);
            } else {
                self.rows.text(kind).text(namespace).text(name);
            }
            self.rows.number(event.port.into());
        }
        let mut series = [Series::REFUSED; BATCH];
        self.segments.series(&self.rows, &mut series, events.len())?;
        Series::write(Operation::Add, &series[..events.len()], &[1.0; BATCH][..events.len()])
    }
}

impl Program for TcpRetransmit {
    fn start() -> Result<Self, Error> {
        Stream::open(&Map::open("retransmits")?, vec![0u64; 2048].leak())?;
        Ok(TcpRetransmit {
            segments: Metric::declare(
                r#"{"name": "tcp_retransmit_segments_total", "type": "counter", "help": "TCP segments sent again.", "ttl": 3600,
                    "labels": ["kind", "namespace", "name", "port"]}"#,
            )?,
            names: vec![0; 65536],
            rows: Box::new(Rows::new()),
        })
    }

    fn events(&mut self, _stream: i32, records: Records<'_>) -> Result<(), Error> {
        let events: Vec<Event> = records.of().collect();
        events.chunks(BATCH).try_for_each(|events| self.count(events))
    }

    fn tick(&mut self, _now: i64) -> Result<(), Error> {
        Ok(()) // all is said as it comes
    }
}

conductor::program!(TcpRetransmit);
