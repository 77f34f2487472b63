"""Draws the files of two fictional teams, with the faults of real exports: a shop's three tables, and a news log."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

START = datetime(2024, 1, 8, tzinfo=UTC)
KINDS = ("Tee", "Kaffee", "Gewürz", "Öl", "Schokolade", "Nudeln", "Reis", "Wein")
SECTIONS = ("politics", "sport", "culture", "science", "city", "economy")


def shop(folder: Path, orders: int, seed: int = 7) -> str:
    """Write orders.csv, order_lines.csv and products.csv; return a customer with several orders.

    Spreadsheet German: semicolons, cp1252 in the products, prices such as "1.204,50 €", days before months.
    Some orders and products occur twice, lines name unknown orders or products, some dates and prices cannot be parsed,
    a title contains a separator.
    """
    draw = np.random.default_rng(seed)
    products, customers = max(60, orders // 20), max(100, orders // 5)
    kind_of = draw.integers(len(KINDS), size=products)
    demand = 1 / np.arange(1, products + 1) ** 0.8
    likes = draw.integers(len(KINDS), size=(customers, 2))
    prices = np.round(draw.lognormal(2.5, 1.2, products), 2)
    head, lines = ["Bestellnr;Kundennr;Bestelldatum;Status"], ["Bestellnr;Artikelnr;Menge;Einzelpreis"]
    counts = np.zeros(customers, int)
    for number in range(orders):
        customer = int(customers * draw.random() ** 2)
        counts[customer] += 1
        at = START + timedelta(minutes=number * 200_000 / orders + int(draw.integers(60)))
        date = "folgt" if draw.random() < 0.002 else f"{at:%d.%m.%Y %H:%M}"
        row = f"{100_000 + number};K{customer:05};{date};bezahlt"
        head += [row] * (2 if draw.random() < 0.01 else 1)
        fits = np.where(np.isin(kind_of, likes[customer]), 8.0, 1.0) * demand
        for product in draw.choice(products, size=1 + int(draw.poisson(1.5)), replace=False, p=fits / fits.sum()):
            price = "auf Anfrage" if draw.random() < 0.002 else _german(float(prices[product]))
            order = "999999" if draw.random() < 0.003 else f"{100_000 + number}"
            pieces = -1 if draw.random() < 0.01 else 1 + int(draw.poisson(0.4))
            lines.append(f"{order};A{product:04};{pieces};{price}")
            if draw.random() < 0.003:
                lines.append(f"{order};A{product:04}")
    goods = ["Artikelnr;Bezeichnung;Warengruppe;Preis"]
    for product in range(products):
        title = (
            f'"{KINDS[kind_of[product]]}; Sorte {product}"'
            if product % 9 == 0
            else f"{KINDS[kind_of[product]]} {product}"
        )
        goods += [f"A{product:04};{title};{KINDS[kind_of[product]]};{_german(float(prices[product]))}"] * (
            2 if product % 40 == 0 else 1
        )
    for name, rows, encoding in (
        ("orders", head, "utf-8-sig"),
        ("order_lines", lines, "utf-8"),
        ("products", goods, "cp1252"),
    ):
        (folder / f"{name}.csv").write_bytes(("\r\n".join(rows) + "\r\n").encode(encoding))
    return f"K{int(counts.argmax()):05}"


def news(folder: Path, clicks: int, seed: int = 7) -> str:
    """Write clicks.jsonl and articles.jsonl; return a reader with several clicks.

    Articles age in hours. Lines are cut off, clicks are sent twice, times are missing, articles have no section.
    """
    draw = np.random.default_rng(seed)
    articles, readers = max(150, clicks // 40), max(150, clicks // 15)
    hours = 24.0 * 10
    born = np.sort(draw.uniform(-24, hours, articles))
    section = draw.integers(len(SECTIONS), size=articles)
    likes = draw.integers(len(SECTIONS), size=readers)
    draws = draw.lognormal(0, 1, articles)
    rows, counts = [], np.zeros(readers, int)
    for hour in np.sort(draw.uniform(0, hours, clicks)):
        reader = int(readers * draw.random() ** 2)
        age = hour - born
        fits = np.where(age > 0, np.exp(-np.maximum(age, 0) / 8), 0) * draws * np.where(section == likes[reader], 5, 1)
        article = int(draw.choice(articles, p=fits / fits.sum()))
        counts[reader] += 1
        at = int((START + timedelta(hours=float(hour))).timestamp() * 1000)
        row = json.dumps(
            {"reader_id": f"r{reader}", "article": f"n{article}", "ts": None if draw.random() < 0.002 else at}
        )
        rows += [row[:20]] if draw.random() < 0.002 else [row] * (2 if draw.random() < 0.005 else 1)
    known = [
        {
            "article": f"n{n}",
            "headline": f"{SECTIONS[section[n]].title()} {n}",
            "topic": SECTIONS[section[n]] if n % 50 else None,
        }
        | {"published": (START + timedelta(hours=float(born[n]))).isoformat()}
        for n in range(articles)
    ]
    (folder / "clicks.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "articles.jsonl").write_text("".join(json.dumps(one) + "\n" for one in known), encoding="utf-8")
    return f"r{int(counts.argmax())}"


def _german(number: float) -> str:
    return f"{number:,.2f} €".replace(",", "_").replace(".", ",").replace("_", ".")
