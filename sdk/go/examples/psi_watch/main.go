// SPDX-License-Identifier: Apache-2.0

// Show pressure as a program feels it: how much later than due its ticks come, and how much longer than asked for a
// sleep in a goroutine takes. Needs no kernel half and no map.
//
// Counters live in the host and go on by themselves. A maximum does not: it is saved, and read again by the next instance.
package main

import (
	"encoding/json"
	"errors"
	"time"

	"ebpfconductor.io/conductor"
)

const nap = 2 * time.Millisecond

type watch struct {
	Interval, Patience                      float64
	delay, stalled, ticks, overslept, worst int32
	before                                  int64
	late                                    float64
	state                                   state
}

// state is what outlives an instance. What a version does not find in it stays 0; what it does not know it leaves out.
type state struct {
	Worst float64 `json:"worst"`
}

func (w *watch) Start() error {
	w.Interval, w.Patience = 1, 60
	if err := conductor.Config(w); err != nil {
		return err
	}
	if err := w.restore(); err != nil {
		return err
	}
	for series, spec := range map[*int32]conductor.MetricSpec{
		&w.delay: {Name: "psi_watch_delay_seconds", Type: "histogram", Help: "How late ticks came.", Unit: "seconds",
			Buckets: []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1}},
		&w.stalled:   {Name: "psi_watch_stalled_seconds_total", Type: "counter", Help: "Time that ticks waited in all."},
		&w.overslept: {Name: "psi_watch_overslept_seconds_total", Type: "counter", Help: "Time that naps took too long."},
		&w.ticks:     {Name: "psi_watch_ticks_total", Type: "counter", Help: "Ticks so far."},
		&w.worst: {Name: "psi_watch_worst_delay_seconds", Type: "gauge", Help: "The latest that a tick ever came.",
			Unit: "seconds"},
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

	if w.before != 0 {
		w.late = max(float64(now-w.before)/1e9-w.Interval, 0)
	}
	w.before = now
	w.state.Worst = max(w.state.Worst, w.late)
	if err := conductor.Observe(w.delay, w.late); err != nil {
		return err
	}
	if err := conductor.Set(w.worst, w.state.Worst); err != nil {
		return err
	}
	var writes conductor.Writes
	writes.Put(w.stalled, w.late)
	writes.Put(w.overslept, max((<-woken).Seconds(), 0))
	writes.Put(w.ticks, 1)
	return writes.Add()
}

func (w *watch) Save() error {
	text, err := json.Marshal(w.state)
	if err != nil {
		return err
	}
	return conductor.SaveState(text)
}

func (w *watch) restore() error {
	text, err := conductor.SavedState()
	if errors.Is(err, conductor.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &w.state); err != nil { // of a version that is not known here: begin anew
		conductor.Log(conductor.Warning, "the saved state is left out: "+err.Error())
	}
	return nil
}

// IsHealthy is asked while an update is watched: false brings the version before back.
func (w *watch) IsHealthy() bool { return w.late <= w.Patience }

func init() { conductor.Register(&watch{}) }

func main() {}
