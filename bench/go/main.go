// Command page is the rival of bench/page.py: Go's promhttp serving 100,000 series with 8 labels.
//
// It renders through the real HTTP handler, as often as asked, and prints one JSON object: seconds per case (medians)
// and the size of the page. Two ways to hold the series are measured, the quicker one is the rival: a GaugeVec whose
// children are set before each render, and a collector that makes constant metrics.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const series = 100_000

var labels = []string{"client_kind", "client_name", "client_namespace", "program", "role", "server_kind", "server_name", "server_port"}

func row(i int) []string {
	return []string{
		"Deployment", fmt.Sprintf("client-%d", i), fmt.Sprintf("namespace-%d", i%97), "bench", "client", "Service",
		fmt.Sprintf("server-%d", i%1013), fmt.Sprintf("%d", 1024+i%4096),
	}
}

// value is the same arithmetic as in page.py: whole numbers as counters have them.
func value(i, round int) float64 { return float64((i*7919)%2_000_003 + round*131) }

type constants struct {
	desc   *prometheus.Desc
	rows   [][]string
	values []float64
}

func (c *constants) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

func (c *constants) Collect(out chan<- prometheus.Metric) {
	for i, labels := range c.rows {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, c.values[i], labels...)
	}
}

// sink takes a page without copying it.
type sink struct {
	header http.Header
	bytes  int
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(int)     {}
func (s *sink) Write(data []byte) (int, error) {
	s.bytes += len(data)
	return len(data), nil
}

func render(handler http.Handler) (float64, int) {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	answer := &sink{header: http.Header{}}
	begin := time.Now()
	handler.ServeHTTP(answer, request)
	return time.Since(begin).Seconds(), answer.bytes
}

// measure renders `rounds` times, `change` before each, and answers the median in seconds and the size.
func measure(collector prometheus.Collector, rounds int, change func(round int)) (float64, int) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true})
	times, size := make([]float64, rounds), 0
	for round := range rounds {
		change(round)
		runtime.GC()
		times[round], size = render(handler)
	}
	slices.Sort(times)
	return times[rounds/2], size
}

func main() {
	rounds := flag.Int("rounds", 5, "renders per case")
	flag.Parse()
	rows := make([][]string, series)
	for i := range rows {
		rows[i] = row(i)
	}
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "bench_sent_bytes", Help: "Bytes sent."}, labels)
	children := make([]prometheus.Gauge, series)
	for i, labels := range rows {
		children[i] = vec.WithLabelValues(labels...)
	}
	fixed := &constants{
		desc:   prometheus.NewDesc("bench_sent_bytes_total", "Bytes sent.", labels, nil),
		rows:   rows,
		values: make([]float64, series),
	}
	setVec := func(step int) func(int) {
		return func(round int) {
			for i := 0; i < series && step > 0; i += step {
				children[i].Set(value(i, round))
			}
		}
	}
	setFixed := func(step int) func(int) {
		return func(round int) {
			for i := 0; i < series && step > 0; i += step {
				fixed.values[i] = value(i, round)
			}
		}
	}
	answer := map[string]any{"go": runtime.Version(), "processors": runtime.GOMAXPROCS(0)}
	for name, step := range map[string]int{"all": 1, "some": 100, "none": 0} {
		if step != 1 {
			setVec(1)(0)
			setFixed(1)(0)
		}
		byVec, size := measure(vec, *rounds, setVec(step))
		byFixed, _ := measure(fixed, *rounds, setFixed(step))
		answer[name] = map[string]any{"vec": byVec, "const": byFixed, "bytes": size}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		panic(err)
	}
}
