"""Searches settings by their score on the validation window, for the stage `tune` and the command `recsys tune`.

    portfolio.py   all settings that params.yaml leaves out, one process per model
    half_life.py   how fast popularity ages: a grid, without a model        search.py   the settings of one model
    validation_task.py   the users, targets and score of a trial

The budget is a number of trials, not of seconds, and all draws are seeded, so the same data give the same settings. The
test window is not used.
"""
