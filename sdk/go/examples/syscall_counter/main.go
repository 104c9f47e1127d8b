// SPDX-License-Identifier: Apache-2.0

// Show how often each system call was made, from the totals that the kernel half keeps per CPU.
package main

import (
	"strconv"

	"ebpfconductor.io/conductor"
)

type counter struct {
	counts *conductor.Entries[uint32, uint64]
	calls  *conductor.Metric
	writes conductor.Writes
}

func (c *counter) Start() error {
	counts, err := conductor.OpenMap("counts")
	if err != nil {
		return err
	}
	if c.counts, err = conductor.NewEntries[uint32, uint64](counts, 1024); err != nil {
		return err
	}
	c.calls, err = conductor.Declare(conductor.MetricSpec{
		Name: "syscall_counter_calls_total", Type: "counter", Help: "System calls made.", Labels: []string{"nr"},
	})
	return err
}

func (c *counter) Tick(int64) error {
	for nr, cpus := range c.counts.All() {
		var total uint64
		for _, count := range cpus {
			total += count
		}
		if total == 0 {
			continue
		}
		series, err := c.calls.Series(strconv.Itoa(int(nr)))
		if err != nil {
			return err
		}
		c.writes.Put(series, float64(total))
	}
	if err := c.counts.Err(); err != nil {
		return err
	}
	return c.writes.Set()
}

func init() { conductor.Register(&counter{}) }

func main() {}
