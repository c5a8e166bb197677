"""A factory for verified reasoning traces.

    problems -> rollouts -> verdicts -> traces -> shards -> hub

    recipe.py     a run, in full: YAML -> Recipe
    run.py        the stages of a run, in order
    types.py      the nouns, in the order in which they appear

    sources/      where problems come from          problems.py, seen.py, feed.py
    policies/     how many rollouts, for whom       foreman.py decides, events.py is its language
    engines/      who writes rollouts               replica.py runs one, crew.py and cluster.py many
    sandbox/      where verifiers execute           verdicts.py makes an outcome of whatever happens
    rollouts.py   the loop that holds them together; ledger.py, records.py, sealing.py: its record
    traces.py     groups.py -> which rollouts are kept; near.py: which are too alike
    shards.py     the published form                parts.py, parquet.py, curate.py; card.py
    setwide.py    work on a whole set, in parallel  clusters.py: problems that repeat each other
    hub.py        the way to the Hub                patience.py: when to try again
    report/       what a person looks at            standing.py: how a run stands

In Python:

    from pathlib import Path
    from factory import recipe, run
    result = run.run(recipe.load(Path("pipelines/quickstart.yaml")), Path("runs/quickstart"), print)
"""
