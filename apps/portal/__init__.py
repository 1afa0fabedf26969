"""The portal: pages in which members of a tenant make keys, look at usage and costs, and manage what is theirs."""
