"""The management API: all that the admin and the portal do, for programs. Same services, same rights."""
