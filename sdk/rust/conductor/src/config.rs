// SPDX-License-Identifier: Apache-2.0
//! The program's config: a JSON object whose numbers can be had without a JSON library.

use crate::raw;

/// A number of the config by its key; `otherwise` where it is not set, is no number, or the config is past 2 KiB.
pub fn config_number(key: &str, otherwise: f64) -> f64 {
    let mut config = [0u8; 2048];
    let size = unsafe { raw::config_read(config.as_mut_ptr(), config.len() as u32) };
    config.get(..size.max(0) as usize).and_then(|text| number_of(text, key)).unwrap_or(otherwise)
}

fn number_of(text: &[u8], key: &str) -> Option<f64> {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        match text[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let begin = at + 1;
                at = begin;
                while at < text.len() && text[at] != b'"' {
                    at += 1 + (text[at] == b'\\') as usize;
                }
                let rest = text.get(at + 1..)?.trim_ascii_start_();
                if depth == 1 && text.get(begin..at) == Some(key.as_bytes()) && rest.first() == Some(&b':') {
                    let value = rest[1..].trim_ascii_start_();
                    let end = value.iter().position(|byte| !b"+-.0123456789eE".contains(byte)).unwrap_or(value.len());
                    return core::str::from_utf8(&value[..end]).ok()?.parse().ok();
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

trait Blanks {
    fn trim_ascii_start_(&self) -> &Self;
}

impl Blanks for [u8] {
    fn trim_ascii_start_(&self) -> &[u8] {
        &self[self.iter().take_while(|byte| byte.is_ascii_whitespace()).count()..]
    }
}
