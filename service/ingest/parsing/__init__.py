"""Files to text in processes that can be killed: children of a fork server, a file each, kept from everything else."""
