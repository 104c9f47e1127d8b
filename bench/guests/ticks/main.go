// SPDX-License-Identifier: Apache-2.0

// Count ticks, and nothing else: as ticks.c does.
package main

import "ebpfconductor.io/conductor"

type ticks struct{ series int32 }

func (t *ticks) Start() error {
	metric, err := conductor.Declare(conductor.MetricSpec{Name: "ticks_total", Type: "counter", Help: "Ticks so far."})
	if err == nil {
		t.series, err = metric.Series()
	}
	return err
}

func (t *ticks) Tick(int64) error {
	var writes conductor.Writes
	writes.Put(t.series, 1)
	return writes.Add()
}

func init() { conductor.Register(&ticks{}) }

func main() {}
