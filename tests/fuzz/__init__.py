"""Every decoder against input that nobody would write: `targets` says which, `make fuzz` looks on for longer."""
