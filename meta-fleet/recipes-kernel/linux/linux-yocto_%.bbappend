require fleet-kernel.inc
