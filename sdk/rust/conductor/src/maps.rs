// SPDX-License-Identifier: Apache-2.0
//! Maps of the kernel half, read and written in batches.

use crate::{raw, Error};

/// Plain data: every pattern of bytes is a valid value, and there is no padding.
///
/// # Safety
/// Implement it for `#[repr(C)]` structures without padding whose fields are all plain.
pub unsafe trait Plain: Copy {}

unsafe impl Plain for u8 {}
unsafe impl Plain for u16 {}
unsafe impl Plain for u32 {}
unsafe impl Plain for u64 {}
unsafe impl Plain for i8 {}
unsafe impl Plain for i16 {}
unsafe impl Plain for i32 {}
unsafe impl Plain for i64 {}
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// What the host says of an opened map; `kind` is the kernel's number (enum bpf_map_type).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MapInfo {
    pub kind: u32,
    pub key_size: u32,
    /// Bytes of a value, of one CPU where per-CPU.
    pub value_size: u32,
    /// Bytes from value to value in a batch.
    pub stride: u32,
    /// Entries that fit; bytes of a ring buffer.
    pub max_entries: u32,
    /// Slots of a value, 1 unless per-CPU.
    pub cpus: u32,
    /// 0 read, 1 consume, 2 read and write.
    pub access: u32,
    pub reserved: u32,
}

/// Which entries an update may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Update {
    Any = 0,
    New = 1,
    Present = 2,
}

/// An opened map. Slices of keys and values begin at multiples of 8: see [`Map::batch`].
#[derive(Clone, Copy, Debug)]
pub struct Map {
    handle: i32,
    info: MapInfo,
}

impl Map {
    /// Open the map of a need.
    pub fn open(need: &str) -> Result<Map, Error> {
        let handle = unsafe { raw::map_open(need.as_ptr(), need.len() as u32) };
        Error::check(handle)?;
        let mut info = MapInfo::default();
        Error::check(unsafe { raw::map_info(handle, &mut info) })?;
        Ok(Map { handle, info })
    }

    /// The number that imports know it by.
    pub fn handle(&self) -> i32 {
        self.handle
    }

    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Begin the walk of [`Map::batch`] anew.
    pub fn rewind(&self) -> Result<(), Error> {
        Error::check(unsafe { raw::map_rewind(self.handle) }).map(drop)
    }

    /// Let the kernel write as many entries as fit; answers how many, 0 at the end. A value takes `info().stride` bytes:
    /// of per-CPU maps `cpus` slots of `V`. Both slices must be 8-byte aligned (hold `u64`, or `#[repr(align(8))]`).
    pub fn batch<K: Plain, V: Plain>(&self, keys: &mut [K], values: &mut [V]) -> Result<usize, Error> {
        if core::mem::size_of::<K>() != self.info.key_size as usize {
            return Err(Error::Argument);
        }
        let room = keys.len().min(core::mem::size_of_val(values) / self.info.stride as usize);
        Error::check(unsafe {
            raw::map_batch(self.handle, keys.as_mut_ptr().cast(), values.as_mut_ptr().cast(), room as u32)
        })
    }

    /// Look up keys: value i is written at i * `info().stride` of `values`, `found[i]` is 1 or 0. Answers how many were found.
    pub fn lookup<K: Plain, V: Plain>(&self, keys: &[K], values: &mut [V], found: &mut [u8]) -> Result<usize, Error> {
        if core::mem::size_of::<K>() != self.info.key_size as usize
            || core::mem::size_of_val(values) < keys.len() * self.info.stride as usize
            || found.len() < keys.len()
        {
            return Err(Error::NoRoom);
        }
        let (at, count) = (keys.as_ptr().cast(), keys.len() as u32);
        Error::check(unsafe {
            raw::map_lookup(self.handle, at, count, values.as_mut_ptr().cast(), found.as_mut_ptr())
        })
    }

    /// Write entries; answers how many were written.
    pub fn update<K: Plain, V: Plain>(&self, keys: &[K], values: &[V], update: Update) -> Result<usize, Error> {
        if core::mem::size_of::<K>() != self.info.key_size as usize
            || core::mem::size_of_val(values) < keys.len() * self.info.stride as usize
        {
            return Err(Error::NoRoom);
        }
        let (at, count) = (keys.as_ptr().cast(), keys.len() as u32);
        Error::check(unsafe { raw::map_update(self.handle, at, values.as_ptr().cast(), count, update as u32) })
    }

    /// Delete keys; answers how many were there.
    pub fn delete<K: Plain>(&self, keys: &[K]) -> Result<usize, Error> {
        if core::mem::size_of::<K>() != self.info.key_size as usize {
            return Err(Error::Argument);
        }
        Error::check(unsafe { raw::map_delete(self.handle, keys.as_ptr().cast(), keys.len() as u32) })
    }

    /// Take elements of a queue or stack; answers how many.
    pub fn pop<V: Plain>(&self, values: &mut [V]) -> Result<usize, Error> {
        let room = core::mem::size_of_val(values) / (self.info.stride as usize).max(1);
        Error::check(unsafe { raw::map_pop(self.handle, values.as_mut_ptr().cast(), room as u32) })
    }
}
