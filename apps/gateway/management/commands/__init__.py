"""What an operator may ask of the data plane at a terminal."""
