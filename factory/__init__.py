"""A factory for verified reasoning traces.

problems -> rollouts -> verdicts -> traces -> shards -> hub
"""
