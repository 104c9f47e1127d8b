// Command exporter is a minimal exporter of one counter: what one process per program costs at least in Go.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	registry := prometheus.NewRegistry()
	ticks := prometheus.NewCounter(prometheus.CounterOpts{Name: "ticks_total", Help: "Ticks so far."})
	registry.MustRegister(ticks)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		for range time.Tick(time.Second) {
			ticks.Inc()
		}
	}()
	if err := http.Serve(listener, nil); err != nil {
		os.Exit(1)
	}
}
