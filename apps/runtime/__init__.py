"""What this process is doing. The gateway sets it, the status pages show it. Holds no configuration."""
