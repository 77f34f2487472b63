"""Made-up data in which everybody's taste is known: a shop, and three other kinds, `scenario` of the adapter.

The shop, behind `dataset: synthetic`:

    words.py      the vocabulary            items.py, users.py   who and what there is, as arrays
    world.py      who likes what            sessions.py          one day of looks, carts and purchases
    catalogue.py  items as a shop would publish them             dirt.py   what goes wrong in every real log
    log.py        all days, with the dirt, as raw tables

`world(config, seed)` in world.py is the planted truth, without drawing a single event.

The other scenarios fail where a shop does not; each is a file of its own and a data set of its name:

    news.py       clicks on items that age in hours   grocery.py   the same items again, after their usual time
    control.py    tastes without order, repeats or ageing: what uses time must add nothing here

raw_files.py writes and reads the files of all four.
"""
