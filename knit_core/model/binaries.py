"""What an environment's archive says of the nodes that its binaries need. Plain values."""

NEEDS = "conda-meta/knit.needs"  # in the archive: `<machine> <glibc>`, written by the packer

#: conda's platform -> what `uname -m` prints there.
MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "linux-ppc64le": "ppc64le", "linux-s390x": "s390x"}
