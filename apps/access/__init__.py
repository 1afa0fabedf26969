"""What programs manage Weir with: people's tokens for the management API, and what was answered to requests that may be
repeated."""
