"""Where a call goes: pure decisions over a snapshot; health and dice are arguments."""
