// SPDX-License-Identifier: Apache-2.0
//! Metrics: declared once as JSON, series interned by rows of label values, numbers written as arrays.

use crate::{raw, Error};

/// What a write does with the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Operation {
    Set = 0,
    Add = 1,
    /// Put each value into its histogram.
    Observe = 2,
}

/// A series of a metric; [`Series::REFUSED`] where the budget said no: writes to it are skipped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Series(pub i32);

impl Series {
    pub const REFUSED: Series = Series(-1);

    pub fn is_refused(self) -> bool {
        self.0 < 0
    }

    /// Write many values, one per series, in one call.
    pub fn write(operation: Operation, series: &[Series], values: &[f64]) -> Result<(), Error> {
        if series.len() != values.len() {
            return Err(Error::Argument);
        }
        let ids = series.as_ptr().cast();
        Error::check(unsafe { raw::metric_write(operation as i32, ids, values.as_ptr(), values.len() as u32) }).map(drop)
    }

    /// Take series off the page.
    pub fn remove(series: &[Series]) -> Result<(), Error> {
        Error::check(unsafe { raw::metric_remove(series.as_ptr().cast(), series.len() as u32) }).map(drop)
    }

    pub fn set(self, value: f64) -> Result<(), Error> {
        Series::write(Operation::Set, &[self], &[value])
    }

    pub fn add(self, value: f64) -> Result<(), Error> {
        Series::write(Operation::Add, &[self], &[value])
    }

    pub fn observe(self, value: f64) -> Result<(), Error> {
        Series::write(Operation::Observe, &[self], &[value])
    }
}

/// A declared metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric(i32);

impl Metric {
    /// Declare it: `{"name": "x_total", "type": "counter", "help": "…", "labels": ["a"]}`.
    pub fn declare(json: &str) -> Result<Metric, Error> {
        let handle = unsafe { raw::metric_declare(json.as_ptr(), json.len() as u32) };
        Error::check(handle).map(|_| Metric(handle))
    }

    /// The one series of a metric without labels.
    pub fn alone(self) -> Result<Series, Error> {
        let mut series = [Series::REFUSED];
        Error::check(unsafe { raw::metric_series(self.0, series.as_ptr().cast(), 0, 1, series.as_mut_ptr().cast()) })?;
        Ok(series[0])
    }

    /// Intern rows of label values; answers how many series are usable.
    pub fn series<const N: usize>(self, rows: &Rows<N>, out: &mut [Series], count: usize) -> Result<usize, Error> {
        if rows.is_full || out.len() < count {
            return Err(Error::NoRoom);
        }
        let (at, size) = (rows.bytes.as_ptr(), rows.size as u32);
        Error::check(unsafe { raw::metric_series(self.0, at, size, count as u32, out.as_mut_ptr().cast()) })
    }

    /// Write pre-binned histograms: for each series one row of bucket counts (last is +Inf) and one sum.
    pub fn write_bins(self, operation: Operation, series: &[Series], bins: &[f64], sums: &[f64]) -> Result<(), Error> {
        if sums.len() != series.len() || series.is_empty() || bins.len() % series.len() != 0 {
            return Err(Error::Argument);
        }
        let (ids, count) = (series.as_ptr().cast(), series.len() as u32);
        let answer =
            unsafe { raw::metric_bins(operation as i32, self.0, ids, bins.as_ptr(), sums.as_ptr(), count) };
        Error::check(answer).map(drop)
    }
}

/// Rows of label values, packed: put in each label of each row, in order. What does not fit makes it full.
pub struct Rows<const N: usize> {
    bytes: [u8; N],
    size: usize,
    is_full: bool,
}

impl<const N: usize> Rows<N> {
    pub const fn new() -> Self {
        Rows { bytes: [0; N], size: 0, is_full: false }
    }

    pub fn clear(&mut self) {
        self.size = 0;
        self.is_full = false;
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A kernel's char array: ends at the first NUL, or where it is full.
    pub fn chars(&mut self, chars: &[u8]) -> &mut Self {
        let size = chars.iter().position(|&byte| byte == 0).unwrap_or(chars.len());
        self.bytes(&chars[..size])
    }

    pub fn number(&mut self, mut number: u64) -> &mut Self {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return self.bytes(&digits[at..]);
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.size + 4 + bytes.len();
        if self.is_full || end > N {
            self.is_full = true;
            return self;
        }
        self.bytes[self.size..self.size + 4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.bytes[self.size + 4..end].copy_from_slice(bytes);
        self.size = end;
        self
    }
}

impl<const N: usize> Default for Rows<N> {
    fn default() -> Self {
        Rows::new()
    }
}
