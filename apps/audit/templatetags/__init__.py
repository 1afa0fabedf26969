"""What templates may ask about rows."""
