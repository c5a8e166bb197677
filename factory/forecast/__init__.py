"""What a run will come to, before it is paid for: `factory plan`.

    pilot.py      a few rollouts of a random sample of the problems: a small run of its own
    spread.py     how pass rates are spread over all problems
    repeats.py    how often right rollouts are in the words of an earlier one
    world.py      the problems that such a pilot speaks for, as a simulation draws them
    outlook.py    the recipe's policy and two others on them: tokens, traces, time, money
    beside.py     what was planned, beside what the run then measured

The pilot's pass rates are few and coarse (0 of 8 is not "never"), so they are taken as a sample:
the distribution of pass rates is fitted to the tallies (`spread`), and each problem has the
posterior that its own tally leaves. The policies then run in the simulator, with
the same foreman as a real run. Intervals come from the bootstrap: the sampled problems are drawn
again with replacement, everything that follows is done anew.
"""
