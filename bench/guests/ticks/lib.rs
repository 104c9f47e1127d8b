// SPDX-License-Identifier: Apache-2.0
//! Count ticks, and nothing else: as ticks.c does.
#![no_std]

use conductor::{Error, Metric, Program, Series};

struct Ticks {
    ticks: Series,
}

impl Program for Ticks {
    fn start() -> Result<Self, Error> {
        let ticks = r#"{"name": "ticks_total", "type": "counter", "help": "Ticks so far."}"#;
        Ok(Ticks { ticks: Metric::declare(ticks)?.alone()? })
    }

    fn tick(&mut self, _now: i64) -> Result<(), Error> {
        self.ticks.add(1.0)
    }
}

conductor::program!(Ticks);

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
