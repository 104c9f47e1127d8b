// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"encoding/binary"
	"unsafe"
)

// Workload is who stands behind an address; empty where unknown.
type Workload struct{ Kind, Namespace, Name string }

// Container is what a cgroup belongs to; empty where unknown.
type Container struct{ ID, PodUID string }

// Workloads tells who stands behind addresses (IPv4 as v4-mapped).
func Workloads(addresses [][16]byte) ([]Workload, error) {
	texts, err := lookup(3*len(addresses), func(out unsafe.Pointer, room uint32) int32 {
		return lookupWorkloads(unsafe.Pointer(unsafe.SliceData(addresses)), uint32(len(addresses)), out, room)
	})
	found := make([]Workload, len(addresses))
	for i := 0; err == nil && i < len(found); i++ {
		found[i] = Workload{texts[3*i], texts[3*i+1], texts[3*i+2]}
	}
	return found, err
}

// Containers tells the containers of cgroup ids.
func Containers(cgroupIDs []uint64) ([]Container, error) {
	texts, err := lookup(2*len(cgroupIDs), func(out unsafe.Pointer, room uint32) int32 {
		return lookupContainers(unsafe.Pointer(unsafe.SliceData(cgroupIDs)), uint32(len(cgroupIDs)), out, room)
	})
	found := make([]Container, len(cgroupIDs))
	for i := 0; err == nil && i < len(found); i++ {
		found[i] = Container{texts[2*i], texts[2*i+1]}
	}
	return found, err
}

// AreLocal tells which addresses belong to an interface of this host.
func AreLocal(addresses [][16]byte) ([]bool, error) {
	found := make([]bool, len(addresses))
	_, err := check(lookupLocal(unsafe.Pointer(unsafe.SliceData(addresses)), uint32(len(addresses)),
		unsafe.Pointer(unsafe.SliceData(found))))
	return found, err
}

func lookup(count int, ask func(unsafe.Pointer, uint32) int32) ([]string, error) {
	packed, err := sized(ask)
	texts := make([]string, count)
	for i := 0; err == nil && i < count; i++ {
		size := binary.LittleEndian.Uint32(packed)
		texts[i] = string(packed[4 : 4+size])
		packed = packed[4+size:]
	}
	return texts, err
}
