// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"iter"
	"unsafe"
)

// MapInfo is what the host says of an opened map.
type MapInfo struct {
	Type       uint32 // the kernel's number (enum bpf_map_type)
	KeySize    uint32
	ValueSize  uint32 // of one CPU where per-CPU
	Stride     uint32 // bytes from value to value in a batch
	MaxEntries uint32 // bytes of a ring buffer
	CPUs       uint32 // slots of a value, 1 unless per-CPU
	Access     uint32 // 0 read, 1 consume, 2 read and write
	Reserved   uint32
}

// Map is a map of the kernel half.
type Map struct {
	handle int32
	Info   MapInfo
}

// UpdateFlag says which entries an update may touch.
type UpdateFlag uint32

const (
	Any UpdateFlag = iota
	New
	Present
)

// OpenMap opens the map of a need.
func OpenMap(need string) (*Map, error) {
	handle, err := check(mapOpen(unsafe.Pointer(unsafe.StringData(need)), uint32(len(need))))
	if err != nil {
		return nil, err
	}
	opened := &Map{handle: int32(handle)}
	_, err = check(mapInfo(opened.handle, unsafe.Pointer(&opened.Info)))
	return opened, err
}

// Make is make([]T, n) aligned as the host wants it. T holds no pointers.
func Make[T any](n int) []T {
	var one T
	words := make([]uint64, (uintptr(n)*unsafe.Sizeof(one)+7)/8+1)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(words))), n)
}

// Entries is room for a batch of a map: keys of K, values of V (of per-CPU maps Info.CPUs of V for each key).
type Entries[K, V any] struct {
	of     *Map
	keys   []K
	values []V
	slots  int
	err    error
}

// NewEntries makes room for so many entries at a time; K has the key's size, V the size of one slot of a value.
func NewEntries[K, V any](of *Map, room int) (*Entries[K, V], error) {
	var key K
	var value V
	slots := int(of.Info.Stride) / int(max(unsafe.Sizeof(value), 1))
	if unsafe.Sizeof(key) != uintptr(of.Info.KeySize) || slots*int(unsafe.Sizeof(value)) != int(of.Info.Stride) {
		return nil, Argument
	}
	return &Entries[K, V]{of: of, keys: Make[K](room), values: Make[V](room * slots), slots: slots}, nil
}

// All walks the map, batch by batch: key, and the slots of its value, valid until the next step. See Err afterwards.
func (e *Entries[K, V]) All() iter.Seq2[K, []V] {
	return func(yield func(K, []V) bool) {
		if _, e.err = check(mapRewind(e.of.handle)); e.err != nil {
			return
		}
		for {
			got := 0
			got, e.err = check(mapBatch(e.of.handle, unsafe.Pointer(unsafe.SliceData(e.keys)),
				unsafe.Pointer(unsafe.SliceData(e.values)), uint32(len(e.keys))))
			if got == 0 || e.err != nil {
				return
			}
			for i, key := range e.keys[:got] {
				if !yield(key, e.values[i*e.slots:(i+1)*e.slots]) {
					return
				}
			}
		}
	}
}

// Err answers what ended the last walk early.
func (e *Entries[K, V]) Err() error { return e.err }

// Lookup looks keys up: the slots of value i begin at i times slots per value; found[i] tells whether it was there.
func Lookup[K, V any](of *Map, keys []K) (values []V, found []bool, err error) {
	var key K
	var value V
	if unsafe.Sizeof(key) != uintptr(of.Info.KeySize) || unsafe.Sizeof(value) == 0 {
		return nil, nil, Argument
	}
	values = Make[V](len(keys) * int(of.Info.Stride) / int(unsafe.Sizeof(value)))
	found = make([]bool, len(keys))
	_, err = check(mapLookup(of.handle, unsafe.Pointer(unsafe.SliceData(keys)), uint32(len(keys)),
		unsafe.Pointer(unsafe.SliceData(values)), unsafe.Pointer(unsafe.SliceData(found))))
	return values, found, err
}

// Update writes entries; it answers how many were written.
func Update[K, V any](of *Map, keys []K, values []V, flag UpdateFlag) (int, error) {
	var key K
	var value V
	if unsafe.Sizeof(key) != uintptr(of.Info.KeySize) || len(values)*int(unsafe.Sizeof(value)) < len(keys)*int(of.Info.Stride) {
		return 0, Argument
	}
	return check(mapUpdate(of.handle, unsafe.Pointer(unsafe.SliceData(keys)), unsafe.Pointer(unsafe.SliceData(values)),
		uint32(len(keys)), uint32(flag)))
}

// Delete deletes keys; it answers how many were there.
func Delete[K any](of *Map, keys []K) (int, error) {
	var key K
	if unsafe.Sizeof(key) != uintptr(of.Info.KeySize) {
		return 0, Argument
	}
	return check(mapDelete(of.handle, unsafe.Pointer(unsafe.SliceData(keys)), uint32(len(keys))))
}

// Pop takes elements of a queue or stack; it answers how many.
func Pop[V any](of *Map, values []V) (int, error) {
	var value V
	room := len(values) * int(unsafe.Sizeof(value)) / int(max(of.Info.Stride, 1))
	return check(mapPop(of.handle, unsafe.Pointer(unsafe.SliceData(values)), uint32(room)))
}

// Stream is a ring buffer whose records arrive in batches.
type Stream int32

var buffers [][]uint64 // the host writes there for as long as the program lives

// OpenStream has a ring buffer's records delivered to Events; only from Start. Size is of the buffer, 4 KiB at least.
func OpenStream(of *Map, size int) (Stream, error) {
	buffer := make([]uint64, size/8)
	stream, err := check(streamOpen(of.handle, unsafe.Pointer(unsafe.SliceData(buffer)), uint32(len(buffer)*8)))
	if err == nil {
		buffers = append(buffers, buffer)
	}
	return Stream(stream), err
}

// Records is a batch; range over All.
type Records struct{ bytes []byte }

// All walks the records that were not discarded.
func (r Records) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest := r.bytes
		for len(rest) >= 8 {
			header := *(*uint32)(unsafe.Pointer(unsafe.SliceData(rest)))
			size := int(header & 0x3fffffff)
			if 8+size > len(rest) {
				return
			}
			if header&(1<<30) == 0 && !yield(rest[8:8+size:8+size]) {
				return
			}
			rest = rest[min(8+(size+7)&^7, len(rest)):]
		}
	}
}

// As reads a record as a plain structure without pointers; false where it is shorter.
func As[T any](record []byte) (*T, bool) {
	var one T
	if len(record) < int(unsafe.Sizeof(one)) {
		return nil, false
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(record))), true
}
