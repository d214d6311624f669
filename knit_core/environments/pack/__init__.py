"""From an installed prefix to an archive that YARN unpacks.

solution.py     packs a prefix that Knit installed, one part for each package
prefix.py       packs a conda prefix that was installed by other tools
archive.py      what both do: parts to gzip members, members to an archive
"""
