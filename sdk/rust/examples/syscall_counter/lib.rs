// SPDX-License-Identifier: Apache-2.0
//! Show how often each system call was made, from the totals that the kernel half keeps per CPU.
#![no_std]

use conductor::{Error, Map, Metric, Operation, Program, Rows, Series};

const SYSCALLS: usize = 1024;

#[repr(align(8))]
struct Keys([u32; SYSCALLS]);

/// Room for one batch; too large for the stack, so it stays here and is lent to `tick`.
static mut KEYS: Keys = Keys([0; SYSCALLS]);
static mut VALUES: [u64; SYSCALLS * 8] = [0; SYSCALLS * 8];

struct SyscallCounter {
    counts: Map,
    calls: Metric,
    /// By number of the call; refused until seen.
    known: [Series; SYSCALLS],
}

impl SyscallCounter {
    fn series_of(&mut self, nr: u32) -> Result<Series, Error> {
        let known = &mut self.known[nr as usize];
        if known.is_refused() {
            let mut row = Rows::<16>::new();
            row.number(nr.into());
            self.calls.series(&row, core::slice::from_mut(known), 1)?;
        }
        Ok(*known)
    }
}

impl Program for SyscallCounter {
    fn start() -> Result<Self, Error> {
        Ok(SyscallCounter {
            counts: Map::open("counts")?,
            calls: Metric::declare(
                r#"{"name": "syscall_counter_calls_total", "type": "counter", "help": "System calls made.", "labels": ["nr"]}"#,
            )?,
            known: [Series::REFUSED; SYSCALLS],
        })
    }

    fn tick(&mut self, _now: i64) -> Result<(), Error> {
        let (keys, values) = unsafe { (&mut *core::ptr::addr_of_mut!(KEYS.0), &mut *core::ptr::addr_of_mut!(VALUES)) };
        let slots = self.counts.info().stride as usize / 8;
        let (mut ids, mut totals, mut used) = ([Series::REFUSED; SYSCALLS], [0f64; SYSCALLS], 0);
        loop {
            let got = self.counts.batch(keys, values)?;
            if got == 0 {
                break;
            }
            for (nr, cpus) in keys[..got].iter().zip(values.chunks_exact(slots)) {
                let total: u64 = cpus.iter().sum();
                if total > 0 && (*nr as usize) < SYSCALLS {
                    ids[used] = self.series_of(*nr)?;
                    totals[used] = total as f64;
                    used += 1;
                }
            }
        }
        Series::write(Operation::Set, &ids[..used], &totals[..used])
    }
}

conductor::program!(SyscallCounter);

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
