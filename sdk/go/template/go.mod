module guest

go 1.24

require ebpfconductor.io/conductor v0.0.0

replace ebpfconductor.io/conductor => ../../conductor
