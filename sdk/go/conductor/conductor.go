// SPDX-License-Identifier: Apache-2.0

// Package conductor is the SDK for guest programs of eBPFConductor in Go: the ABI conductor_v1.
//
// A program is a type with Start and Tick, registered before anything else happens:
//
//	type counter struct{ counts *conductor.Map }
//
//	func (c *counter) Start() (err error) { c.counts, err = conductor.OpenMap("counts"); return err }
//	func (c *counter) Tick(now int64) error { ...; return nil }
//
//	func init() { conductor.Register(&counter{}) }
//	func main() {}
//
// Everything moves in batches: slices of keys, values, label rows and numbers. Build as a reactor:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o counter.wasm .
package conductor

import (
	"encoding/json"
	"strconv"
	"unsafe"
)

// Program is what the host runs. An error fails that call; one from Start fails the program.
type Program interface {
	// Start opens maps and streams, declares metrics and reads saved state, once.
	Start() error
	// Tick runs every interval; now is monotonic nanoseconds.
	Tick(now int64) error
}

// EventTaker is a Program that opened streams.
type EventTaker interface {
	// Events takes a batch of records; they are valid until it returns.
	Events(stream Stream, records Records) error
}

// Saver is a Program that hands state over to its next instance.
type Saver interface {
	// Save writes state by SaveState before the instance ends.
	Save() error
}

// HealthTeller is a Program that can tell whether all is well; asked while an update is watched.
type HealthTeller interface {
	IsHealthy() bool
}

// Error is a refusal of the host. Unknown numbers mean Kernel.
type Error int32

const (
	Memory      Error = -1  // outside the guest's memory, or misaligned
	Handle      Error = -2  // no such handle, or one of another kind
	Argument    Error = -3  // a value out of range, or text that is not UTF-8
	Denied      Error = -4  // the grant does not allow it
	NotFound    Error = -5  // no such map, key or saved state
	NoRoom      Error = -6  // the buffer holds not even one unit
	Full        Error = -7  // the map is full
	Unsupported Error = -8  // this type of map does not know the operation
	Budget      Error = -9  // a budget of this program is spent
	Kernel      Error = -10 // the kernel refused; the program's log has its word
	State       Error = -11 // not at this moment
)

var words = [...]string{
	"outside the memory or misaligned", "no such handle", "bad argument", "not granted", "not found", "no room",
	"map full", "not supported by this map", "budget spent", "refused by the kernel", "not at this moment",
}

func (e Error) Error() string {
	if e < 0 && int(-e) <= len(words) {
		return words[-e-1]
	}
	return "host error " + strconv.Itoa(int(e))
}

func check(answer int32) (int, error) {
	if answer < 0 {
		return 0, Error(answer)
	}
	return int(answer), nil
}

// Level is the severity of a log line.
type Level int32

const (
	Debug Level = iota
	Info
	Warning
	Failure
)

// Log writes a line of the program's log; the host limits the rate.
func Log(level Level, text string) {
	writeLog(int32(level), unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

// Config reads the program's config into a structure with json tags. (encoding/json makes the module 1 MB larger.)
func Config(into any) error {
	text, err := sized(func(out unsafe.Pointer, room uint32) int32 { return configRead(out, room) })
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// SaveState keeps state for the next instance, durable when it answers nil.
func SaveState(state []byte) error {
	_, err := check(stateWrite(unsafe.Pointer(unsafe.SliceData(state)), uint32(len(state))))
	return err
}

// SavedState answers what was saved, or NotFound.
func SavedState() ([]byte, error) {
	return sized(func(out unsafe.Pointer, room uint32) int32 { return stateRead(out, room) })
}

// WallClock answers nanoseconds since 1970.
func WallClock() int64 { return readClock(0) }

// Monotonic answers nanoseconds that never go back.
func Monotonic() int64 { return readClock(1) }

// Random fills out with random bytes.
func Random(out []byte) error {
	_, err := check(fillRandom(unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out))))
	return err
}

// sized calls with no room, then with as much as was asked for.
func sized(read func(unsafe.Pointer, uint32) int32) ([]byte, error) {
	var out []byte
	for {
		size, err := check(read(unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out))))
		if err != nil || size <= len(out) {
			return out[:min(size, len(out))], err
		}
		out = make([]byte, size)
	}
}

var program Program

// Register says which program this is. Call it from init.
func Register(p Program) { program = p }

func told(what string, err error) int32 {
	if err == nil {
		return 0
	}
	Log(Failure, what+": "+err.Error())
	return 1
}

//go:wasmexport conductor_v1_start
func start() int32 {
	if program == nil {
		Log(Failure, "no program is registered: call conductor.Register from init")
		return 1
	}
	return told("start", program.Start())
}

//go:wasmexport conductor_v1_tick
func tick(now int64) int32 { return told("tick", program.Tick(now)) }

//go:wasmexport conductor_v1_events
func events(stream int32, buffer unsafe.Pointer, size uint32, _ uint32) int32 {
	taker, ok := program.(EventTaker)
	if !ok {
		return 1
	}
	return told("events", taker.Events(Stream(stream), Records{unsafe.Slice((*byte)(buffer), size)}))
}

//go:wasmexport conductor_v1_save
func save() int32 {
	if saver, ok := program.(Saver); ok {
		return told("save", saver.Save())
	}
	return 0
}

//go:wasmexport conductor_v1_healthy
func healthy() int32 {
	if teller, ok := program.(HealthTeller); ok && !teller.IsHealthy() {
		return 0
	}
	return 1
}
