// SPDX-License-Identifier: Apache-2.0
//! Guest programs of eBPFConductor in Rust: the ABI `conductor_v1`. No dependencies, no allocation: fit for `no_std`.
//!
//! A program is a type that implements [`Program`], told to the host by [`program!`]:
//!
//! ```ignore
//! struct Counter { map: Map }
//!
//! impl Program for Counter {
//!     fn start() -> Result<Self, Error> { Ok(Counter { map: Map::open("counts")? }) }
//!     fn tick(&mut self, _now: i64) -> Result<(), Error> { Ok(()) }
//! }
//!
//! conductor::program!(Counter);
//! ```
//!
//! Everything moves in batches: whole arrays of keys, values, label rows and numbers. Keys and values are plain data
//! that any bytes are valid for ([`Plain`]).
#![no_std]

mod config;
mod maps;
mod metrics;
pub mod raw;
mod streams;

pub use config::config_number;
pub use maps::{Map, MapInfo, Plain, Update};
pub use metrics::{Metric, Operation, Rows, Series};
pub use streams::{Records, Stream};

/// A refusal of the host. Numbers that a later host adds are [`Error::Kernel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Error {
    /// Outside the guest's memory, or misaligned.
    Memory = -1,
    /// No such handle, or one of another kind.
    Handle = -2,
    /// A value out of range, or text that is not UTF-8.
    Argument = -3,
    /// The grant does not allow it.
    Denied = -4,
    /// No such map, key or saved state.
    NotFound = -5,
    /// The buffer holds not even one unit.
    NoRoom = -6,
    /// The map is full.
    Full = -7,
    /// This type of map does not know the operation.
    Unsupported = -8,
    /// A budget of this program is spent.
    Budget = -9,
    /// The kernel refused; the program's log has its word.
    Kernel = -10,
    /// Not at this moment.
    State = -11,
}

impl Error {
    /// The answer of an import as a count, or what it refuses.
    pub fn check(answer: i32) -> Result<usize, Error> {
        Err(match answer {
            0.. => return Ok(answer as usize),
            -1 => Error::Memory,
            -2 => Error::Handle,
            -3 => Error::Argument,
            -4 => Error::Denied,
            -5 => Error::NotFound,
            -6 => Error::NoRoom,
            -7 => Error::Full,
            -8 => Error::Unsupported,
            -9 => Error::Budget,
            -11 => Error::State,
            _ => Error::Kernel,
        })
    }
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    Debug = 0,
    Info = 1,
    Warning = 2,
    Error = 3,
}

/// What the host runs. Only `start` and `tick` must be written.
pub trait Program: Sized {
    /// Open maps and streams, declare metrics, read saved state; once.
    fn start() -> Result<Self, Error>;
    /// Run every interval; `now` is monotonic nanoseconds. A refusal fails this tick alone.
    fn tick(&mut self, now: i64) -> Result<(), Error>;
    /// Take a batch of records of a stream.
    fn events(&mut self, _stream: i32, _records: Records<'_>) -> Result<(), Error> {
        Ok(())
    }
    /// Save state by [`save`] before the instance ends.
    fn save(&mut self) -> Result<(), Error> {
        Ok(())
    }
    /// Answer whether all is well; asked while an update is watched.
    fn is_healthy(&mut self) -> bool {
        true
    }
}

/// Write a line of the program's log; the host limits the rate.
pub fn log(level: Level, text: &str) {
    unsafe { raw::log(level as i32, text.as_ptr(), text.len() as u32) };
}

/// Save state, durable when this answers `Ok`.
pub fn save(state: &[u8]) -> Result<(), Error> {
    Error::check(unsafe { raw::state_write(state.as_ptr(), state.len() as u32) }).map(drop)
}

/// Copy the saved state into `out`; `NotFound` where there is none, `NoRoom` where it is longer.
pub fn saved(out: &mut [u8]) -> Result<usize, Error> {
    let size = Error::check(unsafe { raw::state_read(out.as_mut_ptr(), out.len() as u32) })?;
    if size > out.len() { Err(Error::NoRoom) } else { Ok(size) }
}

/// Nanoseconds since 1970.
pub fn wall_clock() -> i64 {
    unsafe { raw::clock(0) }
}

/// Nanoseconds that never go back.
pub fn monotonic() -> i64 {
    unsafe { raw::clock(1) }
}

/// Fill `out` with random bytes.
pub fn random(out: &mut [u8]) -> Result<(), Error> {
    Error::check(unsafe { raw::random(out.as_mut_ptr(), out.len() as u32) }).map(drop)
}

/// Tell who stands behind addresses: per address kind, namespace and name, each a u32 size and its text, at `out`.
/// `NoRoom` where `out` is too small. Walk it with [`texts`].
pub fn lookup_workloads<'o>(addresses: &[[u8; 16]], out: &'o mut [u8]) -> Result<&'o [u8], Error> {
    let (at, room) = (out.as_mut_ptr(), out.len() as u32);
    fits(unsafe { raw::lookup_workloads(addresses.as_ptr().cast(), addresses.len() as u32, at, room) }, out)
}

/// Tell the containers of cgroup ids: per id container id and pod UID, as [`lookup_workloads`] does.
pub fn lookup_containers<'o>(cgroup_ids: &[u64], out: &'o mut [u8]) -> Result<&'o [u8], Error> {
    let (at, room) = (out.as_mut_ptr(), out.len() as u32);
    fits(unsafe { raw::lookup_containers(cgroup_ids.as_ptr(), cgroup_ids.len() as u32, at, room) }, out)
}

/// Write 1 for each address of an interface of this host, else 0; answers how many are.
pub fn lookup_local(addresses: &[[u8; 16]], out: &mut [u8]) -> Result<usize, Error> {
    if out.len() < addresses.len() {
        return Err(Error::NoRoom);
    }
    Error::check(unsafe { raw::lookup_local(addresses.as_ptr().cast(), addresses.len() as u32, out.as_mut_ptr()) })
}

/// The sized texts that look-ups answer, one after the other.
pub fn texts(mut packed: &[u8]) -> impl Iterator<Item = &str> {
    core::iter::from_fn(move || {
        let size = u32::from_le_bytes(packed.get(..4)?.try_into().ok()?) as usize;
        let text = core::str::from_utf8(packed.get(4..4 + size)?).ok()?;
        packed = &packed[4 + size..];
        Some(text)
    })
}

fn fits(answer: i32, out: &[u8]) -> Result<&[u8], Error> {
    out.get(..Error::check(answer)?).ok_or(Error::NoRoom)
}

/// Tell the host which type is the program: defines every export.
#[macro_export]
macro_rules! program {
    ($program:ty) => {
        static mut PROGRAM: Option<$program> = None;

        /// The one instance: the host calls from one thread at a time and never re-enters.
        #[allow(static_mut_refs)]
        fn with_program(call: impl FnOnce(&mut $program) -> Result<(), $crate::Error>) -> i32 {
            match unsafe { PROGRAM.as_mut() }.map_or(Err($crate::Error::State), call) {
                Ok(()) => 0,
                Err(error) => error as i32,
            }
        }

        #[no_mangle]
        pub extern "C" fn conductor_v1_start() -> i32 {
            match <$program as $crate::Program>::start() {
                Ok(program) => {
                    unsafe { PROGRAM = Some(program) };
                    0
                }
                Err(error) => error as i32,
            }
        }

        #[no_mangle]
        pub extern "C" fn conductor_v1_tick(now: i64) -> i32 {
            with_program(|program| $crate::Program::tick(program, now))
        }

        #[no_mangle]
        pub unsafe extern "C" fn conductor_v1_events(stream: i32, buffer: *const u8, size: u32, _records: u32) -> i32 {
            let records = $crate::Records::new(core::slice::from_raw_parts(buffer, size as usize));
            with_program(|program| $crate::Program::events(program, stream, records))
        }

        #[no_mangle]
        pub extern "C" fn conductor_v1_save() -> i32 {
            with_program(|program| $crate::Program::save(program))
        }

        #[no_mangle]
        pub extern "C" fn conductor_v1_healthy() -> i32 {
            let mut is_healthy = false;
            with_program(|program| {
                is_healthy = $crate::Program::is_healthy(program);
                Ok(())
            });
            is_healthy as i32
        }
    };
}
