// SPDX-License-Identifier: Apache-2.0
//! The imports of conductor_v1, one to one.

#[link(wasm_import_module = "conductor_v1")]
extern "C" {
    pub fn map_open(name: *const u8, name_size: u32) -> i32;
    pub fn map_info(map: i32, out: *mut crate::MapInfo) -> i32;
    pub fn map_rewind(map: i32) -> i32;
    pub fn map_batch(map: i32, keys: *mut u8, values: *mut u8, room: u32) -> i32;
    pub fn map_lookup(map: i32, keys: *const u8, count: u32, values: *mut u8, found: *mut u8) -> i32;
    pub fn map_update(map: i32, keys: *const u8, values: *const u8, count: u32, flags: u32) -> i32;
    pub fn map_delete(map: i32, keys: *const u8, count: u32) -> i32;
    pub fn map_pop(map: i32, values: *mut u8, room: u32) -> i32;
    pub fn stream_open(map: i32, buffer: *mut u8, size: u32) -> i32;
    pub fn metric_declare(json: *const u8, json_size: u32) -> i32;
    pub fn metric_series(metric: i32, rows: *const u8, rows_size: u32, count: u32, ids: *mut i32) -> i32;
    pub fn metric_write(operation: i32, ids: *const i32, values: *const f64, count: u32) -> i32;
    pub fn metric_bins(operation: i32, metric: i32, ids: *const i32, bins: *const f64, sums: *const f64, count: u32)
        -> i32;
    pub fn metric_remove(ids: *const i32, count: u32) -> i32;
    pub fn lookup_workloads(addresses: *const u8, count: u32, out: *mut u8, room: u32) -> i32;
    pub fn lookup_containers(cgroup_ids: *const u64, count: u32, out: *mut u8, room: u32) -> i32;
    pub fn lookup_local(addresses: *const u8, count: u32, out: *mut u8) -> i32;
    pub fn config_read(out: *mut u8, room: u32) -> i32;
    pub fn log(level: i32, text: *const u8, text_size: u32) -> i32;
    pub fn state_read(out: *mut u8, room: u32) -> i32;
    pub fn state_write(data: *const u8, data_size: u32) -> i32;
    pub fn clock(kind: i32) -> i64;
    pub fn random(out: *mut u8, size: u32) -> i32;
}
