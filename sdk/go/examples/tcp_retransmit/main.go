// SPDX-License-Identifier: Apache-2.0

// Show TCP segments that were sent again, by who stands behind the remote address: one look-up for a whole batch.
package main

import (
	"net/netip"
	"strconv"

	"ebpfconductor.io/conductor"
)

type event struct {
	Address        [16]byte // IPv4 as v4-mapped
	Port, Reserved uint32
}

type watch struct {
	segments *conductor.Metric
}

func (w *watch) Start() error {
	ring, err := conductor.OpenMap("retransmits")
	if err != nil {
		return err
	}
	if _, err = conductor.OpenStream(ring, 16<<10); err != nil {
		return err
	}
	w.segments, err = conductor.Declare(conductor.MetricSpec{
		Name: "tcp_retransmit_segments_total", Type: "counter", Help: "TCP segments sent again.", TTL: 3600,
		Labels: []string{"kind", "namespace", "name", "port"},
	})
	return err
}

func (w *watch) Events(_ conductor.Stream, records conductor.Records) error {
	var addresses [][16]byte
	var rows [][]string
	for record := range records.All() {
		if event, ok := conductor.As[event](record); ok {
			addresses = append(addresses, event.Address)
			rows = append(rows, []string{"External", "", "", strconv.Itoa(int(event.Port))})
		}
	}
	workloads, err := conductor.Workloads(addresses)
	if err != nil {
		return err
	}
	for i, workload := range workloads {
		if workload.Kind != "" {
			rows[i][0], rows[i][1], rows[i][2] = workload.Kind, workload.Namespace, workload.Name
		} else {
			rows[i][2] = netip.AddrFrom16(addresses[i]).Unmap().String()
		}
	}
	series, err := w.segments.SeriesOf(rows)
	if err != nil {
		return err
	}
	var writes conductor.Writes
	for _, id := range series {
		writes.Put(id, 1)
	}
	return writes.Add()
}

// Tick has nothing to do: all is said as it comes.
func (w *watch) Tick(int64) error { return nil }

func init() { conductor.Register(&watch{}) }

func main() {}
