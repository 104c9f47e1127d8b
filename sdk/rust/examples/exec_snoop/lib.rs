// SPDX-License-Identifier: Apache-2.0
//! Count the programs that are started, by command. The ring buffer's records come in batches.
use std::collections::BTreeMap;

use conductor::{Error, Map, Metric, Operation, Plain, Program, Records, Rows, Series, Stream};

#[derive(Clone, Copy)]
#[repr(C)]
struct Event {
    pid: u32,
    uid: u32,
    command: [u8; 16],
}

unsafe impl Plain for Event {}

struct ExecSnoop {
    execs: Metric,
    lost: Series,
    losses: Map,
    /// Series, and starts since the last tick.
    by_command: BTreeMap<[u8; 16], (Series, f64)>,
}

impl Program for ExecSnoop {
    fn start() -> Result<Self, Error> {
        Stream::open(&Map::open("execs")?, vec![0u64; 2048].leak())?;
        Ok(ExecSnoop {
            execs: Metric::declare(
                r#"{"name": "exec_snoop_execs_total", "type": "counter", "help": "Programs started.", "labels": ["command"]}"#,
            )?,
            lost: Metric::declare(
                r#"{"name": "exec_snoop_lost_total", "type": "counter", "help": "Starts that found the ring buffer full."}"#,
            )?
            .alone()?,
            losses: Map::open("lost")?,
            by_command: BTreeMap::new(),
        })
    }

    fn events(&mut self, _stream: i32, records: Records<'_>) -> Result<(), Error> {
        for event in records.of::<Event>() {
            self.by_command.entry(event.command).or_insert((Series::REFUSED, 0.0)).1 += 1.0;
        }
        Ok(())
    }

    fn tick(&mut self, _now: i64) -> Result<(), Error> {
        for (command, (series, _)) in self.by_command.iter_mut().filter(|(_, (series, _))| series.is_refused()) {
            let mut row = Rows::<20>::new();
            row.chars(command);
            self.execs.series(&row, std::slice::from_mut(series), 1)?;
        }
        let usable = self.by_command.values_mut().filter(|(series, _)| !series.is_refused());
        let (series, values): (Vec<Series>, Vec<f64>) =
            usable.map(|(series, started)| (*series, std::mem::take(started))).unzip();
        // Counted here: add. Counted by the kernel half: set. The host's counters outlive this instance.
        Series::write(Operation::Add, &series, &values)?;
        let mut lost = [0u64];
        if self.losses.lookup(&[0u32], &mut lost, &mut [0])? == 1 {
            self.lost.set(lost[0] as f64)?;
        }
        Ok(())
    }

    /// No state, but the last chance to write what was counted since the last tick.
    fn save(&mut self) -> Result<(), Error> {
        self.tick(0)
    }
}

conductor::program!(ExecSnoop);
