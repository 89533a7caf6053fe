"""Writes a seeded shop as JSON Lines: items with category, brand, price and day of publication, users with age, and views,
carts and purchases over 60 days. A user likes a few categories and a price level, buys less of what costs more, comes back
to what was viewed; every week other categories are in season.

    python3 shop.py DIR [--users N] [--items N] [--seed S]
"""

import argparse
import json
import math
import random
from pathlib import Path

CATEGORIES, BRANDS, DAYS = 15, 40, 60
START = 1_760_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dir", type=Path)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    items = [item(draw, number) for number in range(args.items)]
    seasons = [[draw.gauss(0, 0.7) for _ in range(CATEGORIES)] for _ in range(DAYS // 7 + 1)]
    with open(args.dir / "items.jsonl", "w") as out:
        for number, of in enumerate(items):
            attributes = {"brand": f"b{of['brand']}", "price": round(math.exp(of["price"]), 2)}
            time = START + of["day"] * 86_400_000
            line = {"id": f"i{number}", "categories": [f"c{of['category']}"], "attributes": attributes, "time": time}
            out.write(json.dumps(line) + "\n")
    with open(args.dir / "users.jsonl", "w") as people, open(args.dir / "events.jsonl", "w") as out:
        for number in range(args.users):
            age = draw.randint(18, 75)
            people.write(json.dumps({"id": f"u{number}", "attributes": {"age": age}}) + "\n")
            for event in visits(draw, f"u{number}", age, items, seasons):
                out.write(json.dumps(event) + "\n")


def item(draw: random.Random, number: int) -> dict:
    day = 0 if draw.random() < 0.7 else draw.randint(1, DAYS - 5)
    return {
        "category": draw.randrange(CATEGORIES),
        "brand": draw.randrange(BRANDS),
        "price": draw.gauss(3, 0.8),
        "appeal": draw.gauss(0, 0.8),
        "day": day,
    }


def visits(draw: random.Random, user: str, age: int, items: list, seasons: list):
    liked = [draw.gauss(0, 1.3) for _ in range(CATEGORIES)]
    brands = [draw.gauss(0, 0.5) for _ in range(BRANDS)]
    level = 2.4 + age / 80 + draw.gauss(0, 0.4)
    taste = [liked[of["category"]] + brands[of["brand"]] + of["appeal"] - 1.2 * (of["price"] - level) ** 2 for of in items]
    viewed: list[int] = []
    for _ in range(draw.randint(2, 12)):
        day = draw.uniform(0, DAYS)
        season = seasons[int(day) // 7]
        there = [place for place, of in enumerate(items) if of["day"] <= day]
        weights = [math.exp(taste[place] + season[items[place]["category"]]) for place in there]
        time = START + int(day * 86_400_000)
        for place in draw.choices(there, weights, k=draw.randint(2, 8)):
            if viewed and draw.random() < 0.15:
                place = draw.choice(viewed)
            time += draw.randint(20_000, 200_000)
            viewed.append(place)
            yield {"user": user, "item": f"i{place}", "type": "view", "time": time, "dwell_ms": draw.randint(3_000, 90_000)}
            wants = 1 / (1 + math.exp(2.2 - 0.5 * taste[place]))
            if draw.random() < wants:
                yield {"user": user, "item": f"i{place}", "type": "cart", "time": time + 9_000}
                if draw.random() < 0.6:
                    yield {"user": user, "item": f"i{place}", "type": "purchase", "time": time + 15_000}


if __name__ == "__main__":
    main()
