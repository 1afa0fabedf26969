"""Usage as FOCUS, the FinOps Foundation's form of cost data (version 1.0): what chargeback is done with."""
