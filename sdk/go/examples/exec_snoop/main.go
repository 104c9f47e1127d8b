// SPDX-License-Identifier: Apache-2.0

// Count the programs that are started, by command. The ring buffer's records come in batches.
package main

import (
	"bytes"

	"ebpfconductor.io/conductor"
)

type event struct {
	PID, UID uint32
	Command  [16]byte
}

type snoop struct {
	execs   *conductor.Metric
	lost    int32
	losses  *conductor.Map
	started map[[16]byte]float64 // since the last tick
	writes  conductor.Writes
}

func (s *snoop) Start() error {
	ring, err := conductor.OpenMap("execs")
	if err != nil {
		return err
	}
	if _, err = conductor.OpenStream(ring, 16<<10); err != nil {
		return err
	}
	if s.losses, err = conductor.OpenMap("lost"); err != nil {
		return err
	}
	s.execs, err = conductor.Declare(conductor.MetricSpec{
		Name: "exec_snoop_execs_total", Type: "counter", Help: "Programs started.", Labels: []string{"command"},
	})
	if err != nil {
		return err
	}
	lost, err := conductor.Declare(conductor.MetricSpec{
		Name: "exec_snoop_lost_total", Type: "counter", Help: "Starts that found the ring buffer full.",
	})
	if err != nil {
		return err
	}
	s.lost, err = lost.Series()
	return err
}

func (s *snoop) Events(_ conductor.Stream, records conductor.Records) error {
	for record := range records.All() {
		if event, ok := conductor.As[event](record); ok {
			s.started[event.Command]++
		}
	}
	return nil
}

func (s *snoop) Tick(int64) error {
	for command, started := range s.started {
		name, _, _ := bytes.Cut(command[:], []byte{0})
		series, err := s.execs.Series(string(name))
		if err != nil {
			return err
		}
		s.writes.Put(series, started)
	}
	clear(s.started)
	// Counted here: add. Counted by the kernel half: set. The host's counters outlive this instance.
	if err := s.writes.Add(); err != nil {
		return err
	}
	lost, found, err := conductor.Lookup[uint32, uint64](s.losses, []uint32{0})
	if err != nil || !found[0] {
		return err
	}
	return conductor.Set(s.lost, float64(lost[0]))
}

// Save has no state to keep, but the last chance to write what was counted since the last tick.
func (s *snoop) Save() error { return s.Tick(0) }

func init() { conductor.Register(&snoop{started: map[[16]byte]float64{}}) }

func main() {}
