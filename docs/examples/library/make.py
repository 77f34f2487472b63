"""Draws `loans.csv` and `books.csv`, made-up loans of a small library: `python docs/examples/library/make.py`

They show the data set `files`: columns with other names, a date format of their own, one kind of event. Every reader
has two favourite subjects and never borrows a book twice. The last lines of the loans are wrong on purpose.
"""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
SUBJECTS = {
    "Gardening": ["Compost", "Roses", "Apple Trees", "Herbs", "Ponds"],
    "History": ["Castles", "Rome", "Railways", "The Hanse", "Old Maps"],
    "Cooking": ["Soups", "Bread", "Pickles", "Cakes", "Fish"],
    "Travel": ["Islands", "Night Trains", "Passes", "Harbours", "Deserts"],
    "Crime": ["The Alibi", "The Heir", "The Key", "The Witness", "The Ferry"],
    "Science": ["Comets", "Moss", "Tides", "Numbers", "Bees"],
}
FORMS = ["A Guide to {}", "The Little Book of {}", "{} for Everyone", "{}, a Reader", "All about {}"]
READERS, LOANS, DAYS = 160, 3_000, 500
START = datetime(2024, 1, 2)  # noqa: DTZ001 - the library's clock, which the file does not name
WRONG = ["R001;B001;31.02.2025 10:00", ";B002;03.03.2025 11:15", "R002;B999;04.03.2025 09:30"]


def main() -> None:
    """Write both files beside this one; always the same bytes."""
    rng = np.random.default_rng(7)
    books = [
        (form.format(topic), subject) for subject, topics in SUBJECTS.items() for topic in topics for form in FORMS
    ]
    rows = [f"B{number:03};{title};{subject}" for number, (title, subject) in enumerate(books, start=1)]
    write("books.csv", "id;title;subjects", rows)

    subject = np.array([list(SUBJECTS).index(subject) for _, subject in books])
    demand = 1 / (rng.permutation(len(books)) + 20.0)
    left = np.array([draw_taste(rng)[subject] * demand for _ in range(READERS)])
    activity = rng.lognormal(0, 0.7, READERS)
    loans = []
    for minutes in np.sort(rng.choice(DAYS * 8 * 60, LOANS, replace=False)):
        reader = rng.choice(READERS, p=activity / activity.sum())
        book = rng.choice(len(books), p=left[reader] / left[reader].sum())
        left[reader, book] = 0
        borrowed = START + timedelta(days=int(minutes) // 480, hours=9, minutes=int(minutes) % 480)
        loans.append(f"R{reader + 1:03};B{book + 1:03};{borrowed:%d.%m.%Y %H:%M}")
    write("loans.csv", "reader;book;borrowed", [*loans, loans[-1], *WRONG])


def draw_taste(rng: np.random.Generator) -> np.ndarray:
    """(n_subjects,) how much a reader likes each subject: two much, the others a little."""
    taste = np.full(len(SUBJECTS), 0.03)
    taste[rng.choice(len(SUBJECTS), 2, replace=False)] = 1.0
    return taste


def write(name: str, header: str, rows: list[str]) -> None:
    """Write a CSV file with semicolons."""
    (FOLDER / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
