"""What each operation of the cloud answers: one file per resource, one function per operation."""
