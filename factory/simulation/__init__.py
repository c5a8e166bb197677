"""A run on a virtual clock: the same foreman, no engine, no threads.

    assumptions.py   how fast, how long, how often it breaks: what a simulation is told
    pool.py          problems with their pass rates, and rollouts with their lengths
    wordings.py      in whose words a right rollout is
    flight.py        problems and rollouts under way
    replica.py       one engine: a batch that shares its speed
    judges.py        the verifiers' queue
    source.py        where problems come from, and how fast
    world.py         the clock: events in order of time, handed to the foreman in batches
    figures.py       what is counted on the way
    result.py        figures -> table, JSON
    plots.py         figures -> charts
    command.py       the options of `factory simulate`

A discrete-event simulation: a heap of things to come, the clock jumps from one to the next. What
a run would do with real engines is assumed (`assumptions`); what the scheduler does about it is
not, it is `factory.scheduling.foreman` itself with the recipe's policy. Equal options give equal
figures, whatever machine computes them; only the CPU seconds of the foreman are measured.

A budget of the policy is kept as in a run; replicas are metered by `factory.crew.meter`. A source
without an end ends with it.

Not simulated: the ledger, the network, Ray, forks, requests that fail, rollouts cut short as
doomed. Their time is missing from the forecast, as is the growth of a decoding step with the length
of what it attends to, and what a prefix cache spares of the prompts.
"""
