"""ledger -> dataset folder: the steps between `factory.traces` and `factory.shards`.

groups.py     ledger -> everything sampled for one problem
quality.py    what a correct rollout must also be; leaks.py: secrets and personal data
distinct.py   the different ones; paths.py: by their steps
clusters.py   problems that nearly repeat each other
parts.py      groups -> rows of every config, range by range; setwide.py: on a Ray cluster
parquet.py    rows -> files
tally.py      what it came to
curate.py     the folder: all of it or none
"""
