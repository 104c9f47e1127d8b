// SPDX-License-Identifier: Apache-2.0
//! Show pressure as a program feels it: how much later than due its ticks come. Needs no kernel half and no map.
#![no_std]

use conductor::{config_number, Error, Metric, Program, Series};

struct PsiWatch {
    delay: Series,
    stalled: Series,
    ticks: Series,
    interval: f64,
    before: Option<i64>,
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
            interval: config_number("interval", 1.0),
            before: None,
        })
    }

    fn tick(&mut self, now: i64) -> Result<(), Error> {
        let late = self.before.map_or(0.0, |before| (now - before) as f64 / 1e9 - self.interval).max(0.0);
        self.before = Some(now);
        self.delay.observe(late)?;
        self.stalled.add(late)?;
        self.ticks.add(1.0)
    }
}

conductor::program!(PsiWatch);

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
