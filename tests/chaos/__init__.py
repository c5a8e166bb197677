"""Faults at every place where a run can be hurt: the harness behind the promise of a safe restart.

disk.py      a model of a disk: what is written, what is durable, what a power loss may leave
tap.py       every call that changes the run folder, recorded, counted, and failed on demand
world.py     a small run in one thread on virtual time, so that the n-th call is always the same
trials.py    crash states and faults -> resumed runs -> what was lost, repeated, written again
messages.py  faults between the driver and its crew
killing.py   real processes that get a real SIGKILL, real file systems that are full
"""
