"""Made-up data in which the taste of every user is known: a shop and three other scenarios (setting `scenario`).

The shop, behind `dataset: synthetic`:

    words.py      the vocabulary            items.py, users.py   who and what there is, as arrays
    world.py      who likes what            sessions.py          one day of looks, carts and purchases
    catalogue.py  items as a shop would publish them             dirt.py   what goes wrong in every real log
    log.py        all days, with the dirt, as raw tables

`world(config, seed)` in world.py returns the planted tastes without drawing events.

Each other scenario stresses what the shop does not, and is a data set of its own:

    news.py       clicks on items that age in hours   grocery.py   the same items again, after their usual time
    control.py    tastes without order, repeats or ageing: what uses time must add nothing here

raw_files.py writes and reads the files of all four.
"""
