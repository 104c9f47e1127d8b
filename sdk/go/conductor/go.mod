module ebpfconductor.io/conductor

go 1.24
