"""Networks of the node's own code in simulated time, on simulated disks and links."""
