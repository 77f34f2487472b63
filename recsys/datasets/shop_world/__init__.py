"""A made-up shop in which everybody's taste is known: the data behind `dataset: synthetic`.

    words.py      the vocabulary            items.py, users.py   who and what there is, as arrays
    world.py      who likes what            sessions.py          one day of looks, carts and purchases
    catalogue.py  items as a shop would publish them             dirt.py   what goes wrong in every real log
    log.py        all days, with the dirt, as raw tables

`world(config, seed)` in world.py is the planted truth, without drawing a single event.
"""
