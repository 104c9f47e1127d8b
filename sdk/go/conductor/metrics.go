// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unsafe"
)

// MetricSpec declares a metric. Type is counter, gauge or histogram; TTL is in seconds.
type MetricSpec struct {
	Name, Type, Help, Unit string
	Labels                 []string
	Buckets                []float64
	TTL                    float64
}

// json is written by hand: encoding/json would make every program 1 MB larger.
func (s MetricSpec) json() []byte {
	text := []byte(`{"name":`)
	text = appendText(text, s.Name)
	text = appendText(append(text, `,"type":`...), s.Type)
	text = appendText(append(text, `,"help":`...), s.Help)
	text = appendText(append(text, `,"unit":`...), s.Unit)
	text = append(text, `,"labels":[`...)
	for i, label := range s.Labels {
		text = appendText(appendComma(text, i), label)
	}
	text = append(text, `],"buckets":[`...)
	for i, bound := range s.Buckets {
		text = strconv.AppendFloat(appendComma(text, i), bound, 'g', -1, 64)
	}
	text = append(text, ']')
	if s.TTL > 0 {
		text = strconv.AppendFloat(append(text, `,"ttl":`...), s.TTL, 'g', -1, 64)
	}
	return append(text, '}')
}

func appendComma(text []byte, i int) []byte {
	if i > 0 {
		return append(text, ',')
	}
	return text
}

func appendText(to []byte, text string) []byte {
	to = append(to, '"')
	for _, c := range []byte(text) {
		switch {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c < 0x20:
			to = append(to, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			to = append(to, c)
		}
	}
	return append(to, '"')
}

// Metric is a declared metric. It remembers its series, so that a row is interned once.
type Metric struct {
	handle int32
	known  map[string]int32
}

// Declare declares a metric; the same again gives the same series.
func Declare(spec MetricSpec) (*Metric, error) {
	text := spec.json()
	handle, err := check(metricDeclare(unsafe.Pointer(unsafe.SliceData(text)), uint32(len(text))))
	return &Metric{handle: int32(handle), known: map[string]int32{}}, err
}

// Series answers the series of a row of label values, -1 where the budget refused it.
func (m *Metric) Series(labels ...string) (int32, error) {
	key := strings.Join(labels, "\x00")
	if id, ok := m.known[key]; ok {
		return id, nil
	}
	ids, err := m.SeriesOf([][]string{labels})
	if err != nil {
		return -1, err
	}
	if ids[0] >= 0 {
		m.known[key] = ids[0]
	}
	return ids[0], nil
}

// SeriesOf answers the series of many rows with one call.
func (m *Metric) SeriesOf(rows [][]string) ([]int32, error) {
	var packed []byte
	for _, row := range rows {
		for _, label := range row {
			packed = binary.LittleEndian.AppendUint32(packed, uint32(len(label)))
			packed = append(packed, label...)
		}
	}
	ids := Make[int32](len(rows))
	_, err := check(metricSeries(m.handle, unsafe.Pointer(unsafe.SliceData(packed)), uint32(len(packed)),
		uint32(len(rows)), unsafe.Pointer(unsafe.SliceData(ids))))
	return ids, err
}

type operation int32

const (
	opSet operation = iota
	opAdd
	opObserve
)

// Writes gathers values and writes them with one call.
type Writes struct {
	ids    []int32
	values []float64
}

// Put remembers a value for a series; -1 is skipped, and counted, by the host.
func (w *Writes) Put(series int32, value float64) {
	w.ids = append(w.ids, series)
	w.values = append(w.values, value)
}

// Set writes all as they are and forgets them.
func (w *Writes) Set() error { return w.write(opSet) }

// Add adds all and forgets them.
func (w *Writes) Add() error { return w.write(opAdd) }

// Observe puts all into their histograms and forgets them.
func (w *Writes) Observe() error { return w.write(opObserve) }

func (w *Writes) write(how operation) error {
	ids, values := Make[int32](len(w.ids)), Make[float64](len(w.values))
	copy(ids, w.ids)
	copy(values, w.values)
	w.ids, w.values = w.ids[:0], w.values[:0]
	_, err := check(metricWrite(int32(how), unsafe.Pointer(unsafe.SliceData(ids)),
		unsafe.Pointer(unsafe.SliceData(values)), uint32(len(ids))))
	return err
}

// SetBins replaces pre-binned histograms: for each series a row of bucket counts (the last is +Inf) and a sum.
func (m *Metric) SetBins(series []int32, bins, sums []float64) error {
	return m.bins(opSet, series, bins, sums)
}

// AddBins adds to them.
func (m *Metric) AddBins(series []int32, bins, sums []float64) error {
	return m.bins(opAdd, series, bins, sums)
}

func (m *Metric) bins(how operation, series []int32, bins, sums []float64) error {
	if len(sums) != len(series) || len(series) == 0 || len(bins)%len(series) != 0 {
		return Argument
	}
	_, err := check(metricBins(int32(how), m.handle, unsafe.Pointer(unsafe.SliceData(series)),
		unsafe.Pointer(unsafe.SliceData(bins)), unsafe.Pointer(unsafe.SliceData(sums)), uint32(len(series))))
	return err
}

// Remove takes series off the page.
func (m *Metric) Remove(series []int32) error {
	for key, id := range m.known {
		for _, gone := range series {
			if id == gone {
				delete(m.known, key)
			}
		}
	}
	_, err := check(metricRemove(unsafe.Pointer(unsafe.SliceData(series)), uint32(len(series))))
	return err
}

// Set writes one value.
func Set(series int32, value float64) error { return one(opSet, series, value) }

// Add adds to one series.
func Add(series int32, value float64) error { return one(opAdd, series, value) }

// Observe puts one value into a histogram.
func Observe(series int32, value float64) error { return one(opObserve, series, value) }

func one(how operation, series int32, value float64) error {
	w := Writes{[]int32{series}, []float64{value}}
	return w.write(how)
}
