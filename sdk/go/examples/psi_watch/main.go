// SPDX-License-Identifier: Apache-2.0

// Show pressure as a program feels it: how much later than due its ticks come, and how much longer than asked for a
// sleep in a goroutine takes. Needs no kernel half and no map.
package main

import (
	"time"

	"ebpfconductor.io/conductor"
)

const nap = 2 * time.Millisecond

type watch struct {
	Interval                         float64 `json:"interval"`
	delay, stalled, ticks, overslept int32
	before                           int64
}

func (w *watch) Start() error {
	w.Interval = 1
	if err := conductor.Config(w); err != nil {
		return err
	}
	for series, spec := range map[*int32]conductor.MetricSpec{
		&w.delay: {Name: "psi_watch_delay_seconds", Type: "histogram", Help: "How late ticks came.", Unit: "seconds",
			Buckets: []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1}},
		&w.stalled:   {Name: "psi_watch_stalled_seconds_total", Type: "counter", Help: "Time that ticks waited in all."},
		&w.overslept: {Name: "psi_watch_overslept_seconds_total", Type: "counter", Help: "Time that naps took too long."},
		&w.ticks:     {Name: "psi_watch_ticks_total", Type: "counter", Help: "Ticks so far."},
	} {
		metric, err := conductor.Declare(spec)
		if err != nil {
			return err
		}
		if *series, err = metric.Series(); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) Tick(now int64) error {
	woken := make(chan time.Duration)
	go func() {
		begin := time.Now()
		time.Sleep(nap)
		woken <- time.Since(begin) - nap
	}()

	late := 0.0
	if w.before != 0 {
		late = max(float64(now-w.before)/1e9-w.Interval, 0)
	}
	w.before = now
	if err := conductor.Observe(w.delay, late); err != nil {
		return err
	}
	var writes conductor.Writes
	writes.Put(w.stalled, late)
	writes.Put(w.overslept, max((<-woken).Seconds(), 0))
	writes.Put(w.ticks, 1)
	return writes.Add()
}

func init() { conductor.Register(&watch{}) }

func main() {}
