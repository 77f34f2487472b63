"""Made-up data in which the taste of every user is known: a shop and three other scenarios (setting `scenario`).

The shop, behind `dataset: synthetic`:

    items.py, users.py   items and users, as arrays, and the vocabulary, words.yaml
    world.py      the planted tastes                  sessions.py   one day of views, carts and purchases
    catalogue.py  items as a shop would publish them  log.py        all days as raw tables, with the faults of real logs

`world(config, seed)` in world.py returns the planted tastes without drawing events.

Each other scenario tests a property that the shop lacks, and is a data set of its own:

    news.py       clicks on items that age in hours   grocery.py   the same items again, after their usual time
    control.py    tastes without order, repeats or ageing: a source that uses time must not help here

raw_files.py writes and reads the files of all four.
"""
