// SPDX-License-Identifier: Apache-2.0

package conductor

import "unsafe"

// The imports of conductor_v1, one to one.

//go:wasmimport conductor_v1 map_open
func mapOpen(name unsafe.Pointer, nameSize uint32) int32

//go:wasmimport conductor_v1 map_info
func mapInfo(mapHandle int32, out unsafe.Pointer) int32

//go:wasmimport conductor_v1 map_rewind
func mapRewind(mapHandle int32) int32

//go:wasmimport conductor_v1 map_batch
func mapBatch(mapHandle int32, keys, values unsafe.Pointer, room uint32) int32

//go:wasmimport conductor_v1 map_lookup
func mapLookup(mapHandle int32, keys unsafe.Pointer, count uint32, values, found unsafe.Pointer) int32

//go:wasmimport conductor_v1 map_update
func mapUpdate(mapHandle int32, keys, values unsafe.Pointer, count, flags uint32) int32

//go:wasmimport conductor_v1 map_delete
func mapDelete(mapHandle int32, keys unsafe.Pointer, count uint32) int32

//go:wasmimport conductor_v1 map_pop
func mapPop(mapHandle int32, values unsafe.Pointer, room uint32) int32

//go:wasmimport conductor_v1 stream_open
func streamOpen(mapHandle int32, buffer unsafe.Pointer, size uint32) int32

//go:wasmimport conductor_v1 metric_declare
func metricDeclare(json unsafe.Pointer, jsonSize uint32) int32

//go:wasmimport conductor_v1 metric_series
func metricSeries(metric int32, rows unsafe.Pointer, rowsSize, count uint32, ids unsafe.Pointer) int32

//go:wasmimport conductor_v1 metric_write
func metricWrite(operation int32, ids, values unsafe.Pointer, count uint32) int32

//go:wasmimport conductor_v1 metric_bins
func metricBins(operation, metric int32, ids, bins, sums unsafe.Pointer, count uint32) int32

//go:wasmimport conductor_v1 metric_remove
func metricRemove(ids unsafe.Pointer, count uint32) int32

//go:wasmimport conductor_v1 lookup_workloads
func lookupWorkloads(addresses unsafe.Pointer, count uint32, out unsafe.Pointer, room uint32) int32

//go:wasmimport conductor_v1 lookup_containers
func lookupContainers(cgroupIDs unsafe.Pointer, count uint32, out unsafe.Pointer, room uint32) int32

//go:wasmimport conductor_v1 lookup_local
func lookupLocal(addresses unsafe.Pointer, count uint32, out unsafe.Pointer) int32

//go:wasmimport conductor_v1 config_read
func configRead(out unsafe.Pointer, room uint32) int32

//go:wasmimport conductor_v1 log
func writeLog(level int32, text unsafe.Pointer, textSize uint32) int32

//go:wasmimport conductor_v1 state_read
func stateRead(out unsafe.Pointer, room uint32) int32

//go:wasmimport conductor_v1 state_write
func stateWrite(data unsafe.Pointer, dataSize uint32) int32

//go:wasmimport conductor_v1 clock
func readClock(kind int32) int64

//go:wasmimport conductor_v1 random
func fillRandom(out unsafe.Pointer, size uint32) int32
