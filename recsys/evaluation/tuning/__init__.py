"""Finds the settings that data can choose, on the validation window: the stage `tune` and the command `recsys tune`.

    portfolio.py   everything that params.yaml leaves open, one process a model
    half_life.py   how fast popularity ages: a grid, without a model        search.py   the settings of one model
    validation_task.py   the task of every trial, and its score

A budget is a number of trials, never of seconds, and everything is seeded: the same data find the same settings. The
test window is not looked at.
"""
