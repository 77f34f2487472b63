"""Synthetic data with known tastes of the users: a shop and three other scenarios (setting `scenario`).

The shop, the data set `synthetic`:

    items.py      items, with words of words.yaml     sessions.py   one day of views, carts and purchases
    world.py      users and the true tastes
    catalogue.py  items as a shop would publish them  log.py        all days as raw tables, with the faults of real logs

`world(config, seed)` in world.py returns the true tastes without drawing events.

Each other scenario has a property that the shop lacks, and is a data set of its own:

    news.py       clicks on items that age in hours   grocery.py   users buy items again at regular intervals
    control.py    tastes without order, repeats or ageing: a source that uses time must not help here

raw_files.py writes and reads the files of all four.
"""
