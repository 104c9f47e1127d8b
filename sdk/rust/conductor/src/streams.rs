// SPDX-License-Identifier: Apache-2.0
//! Ring buffers as streams of batches.

use crate::{raw, Error, Map, Plain};

/// A ring buffer whose records the host copies into a buffer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(pub i32);

impl Stream {
    /// Have the records of a ring buffer delivered to [`crate::Program::events`]; only from `start`. The buffer is the
    /// host's from then on, 8-byte aligned, 4 KiB at least; a static, or leaked.
    pub fn open(map: &Map, buffer: &'static mut [u64]) -> Result<Stream, Error> {
        let size = core::mem::size_of_val(buffer) as u32;
        let stream = unsafe { raw::stream_open(map.handle(), buffer.as_mut_ptr().cast(), size) };
        Error::check(stream).map(|_| Stream(stream))
    }
}

/// The records of a batch, those that the kernel half discarded left out.
pub struct Records<'b> {
    rest: &'b [u8],
}

impl<'b> Records<'b> {
    pub fn new(rest: &'b [u8]) -> Self {
        Records { rest }
    }

    /// The records as plain structures; shorter ones are left out.
    pub fn of<T: Plain>(self) -> impl Iterator<Item = T> + 'b
    where
        T: 'b,
    {
        self.filter(|data| data.len() >= core::mem::size_of::<T>())
            .map(|data| unsafe { core::ptr::read_unaligned(data.as_ptr().cast()) })
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        loop {
            let header = u32::from_le_bytes(self.rest.get(..4)?.try_into().ok()?);
            let size = (header & 0x3fff_ffff) as usize;
            let data = self.rest.get(8..8 + size)?;
            self.rest = self.rest.get(8 + (size + 7) / 8 * 8..).unwrap_or(&[]);
            if header & 1 << 30 == 0 {
                return Some(data);
            }
        }
    }
}
