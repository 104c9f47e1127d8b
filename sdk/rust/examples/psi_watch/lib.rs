// SPDX-License-Identifier: Apache-2.0
//! Show pressure as a program feels it: how much later than due its ticks come. Needs no kernel half and no map.
//!
//! Counters live in the host and go on by themselves. A maximum does not: it is saved, and read again by the next instance.
#![no_std]

use conductor::{config_number, Error, Metric, Program, Series};

/// Of the state: a version that does not know it begins anew.
const FORMAT: u64 = 1;

struct PsiWatch {
    delay: Series,
    stalled: Series,
    ticks: Series,
    worst: Series,
    interval: f64,
    patience: f64,
    before: Option<i64>,
    late: f64,
    worst_late: f64,
}

/// The maximum that the instance before saved; 0 where there was none.
fn restored() -> f64 {
    let mut state = [0; 16];
    let (format, worst) = match conductor::saved(&mut state) {
        Ok(16) => state.split_at(8),
        _ => return 0.0,
    };
    match (format.try_into().map(u64::from_le_bytes), worst.try_into().map(f64::from_le_bytes)) {
        (Ok(FORMAT), Ok(worst)) => worst,
        _ => 0.0,
    }
}

impl Program for PsiWatch {
    fn start() -> Result<Self, Error> {
        let series = |json| Metric::declare(json)?.alone();
        Ok(PsiWatch {
            delay: series(
                r#"{"name": "psi_watch_delay_seconds", "type": "histogram", "help": "How late ticks came.", "unit": "seconds",
                    "buckets": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1]}"#,
            )?,
            stalled: series(
                r#"{"name": "psi_watch_stalled_seconds_total", "type": "counter", "help": "Time that ticks waited in all."}"#,
            )?,
            ticks: series(r#"{"name": "psi_watch_ticks_total", "type": "counter", "help": "Ticks so far."}"#)?,
            worst: series(
                r#"{"name": "psi_watch_worst_delay_seconds", "type": "gauge", "help": "The latest that a tick ever came.",
                    "unit": "seconds"}"#,
            )?,
            interval: config_number("interval", 1.0),
            patience: config_number("patience", 60.0),
            before: None,
            late: 0.0,
            worst_late: restored(),
        })
    }

    fn tick(&mut self, now: i64) -> Result<(), Error> {
        self.late = self.before.map_or(0.0, |before| (now - before) as f64 / 1e9 - self.interval).max(0.0);
        self.before = Some(now);
        self.worst_late = self.worst_late.max(self.late);
        self.delay.observe(self.late)?;
        self.stalled.add(self.late)?;
        self.ticks.add(1.0)?;
        self.worst.set(self.worst_late)
    }

    fn save(&mut self) -> Result<(), Error> {
        let mut state = [0; 16];
        state[..8].copy_from_slice(&FORMAT.to_le_bytes());
        state[8..].copy_from_slice(&self.worst_late.to_le_bytes());
        conductor::save(&state)
    }

    /// Asked while an update is watched: `false` brings the version before back.
    fn is_healthy(&mut self) -> bool {
        self.late <= self.patience
    }
}

conductor::program!(PsiWatch);

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
