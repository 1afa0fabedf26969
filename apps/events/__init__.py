"""What happens here, told to other systems: an outbox that is written with what it tells of, and its relay."""
