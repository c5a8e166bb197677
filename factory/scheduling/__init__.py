"""Who generates what, when, and when a problem has enough: no I/O, no clock, no Ray.

foreman.py   the pure scheduler: events in, actions out
events.py    what it hears and says
opened.py    a problem at work
berth.py     a replica, and what runs there
waiting.py   rollouts in the line
pool.py      what is known of all problems together
prior.py     how their pass rates are spread
plan.py      when to give a problem up
branching.py rollouts that part from earlier ones where the model was unsure
doomed.py    rollouts that are cut short, and those audited; runs in the replica
"""
