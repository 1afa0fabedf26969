"""What must not go everywhere: found in texts by shape and checksum, in time linear in their length."""
