"""What the shop sells and to whom. Deterministic."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

CUSTOMERS = [
    {"id": 1, "name": "Ada", "email": "ada@example.com"},
    {"id": 2, "name": "Grace", "email": "grace@example.com"},
    {"id": 3, "name": "Edsger", "email": "edsger@example.com"},
]


@dataclass(frozen=True)
class Product:
    id: int
    name: str
    cents: int
    text: str

    @property
    def document(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "price": self.cents / 100, "currency": "EUR", "in_stock": True}


_NAMES = (
    ("Mug", 900, "Holds coffee. Or tea."),
    ("Notebook", 1250, "Squared, 96 pages."),
    ("Pencil", 180, "HB, with an eraser."),
    ("Lamp", 4900, "Warm light for late fixes."),
    ("Backpack", 7900, "Fits a laptop and lunch."),
    ("Cable", 1500, "The right way round, always."),
    ("Sticker", 250, "It works on my machine."),
    ("Poster", 1900, "The pipeline, in colour."),
    ("T-shirt", 2400, "Green, like the build."),
    ("Cap", 1800, "For sunny deploys."),
    ("Socks", 700, "Two of them."),
    ("Plant", 2200, "Survives releases."),
    ("Black cat", 1300, "Brings luck, mostly."),
    ("Clock", 3200, "In UTC."),
)
PRODUCTS = {number: Product(number, *about) for number, about in enumerate(_NAMES, 1)}


def orders(*, sound: bool) -> list[dict[str, Any]]:
    """Forty orders; the unsound ones hold the planted faults."""
    day = datetime(2026, 1, 5, 9, tzinfo=UTC)
    rows: list[dict[str, Any]] = [
        {
            "id": number,
            "customer_id": 1 + number % 3,
            "amount": 5.0 + number % 17,
            "status": ("new", "paid", "sent")[number % 3],
            "ordered_at": (day + timedelta(hours=5 * number)).isoformat(),
        }
        for number in range(1, 41)
    ]
    if not sound:
        # FAULT orders
        rows[11]["id"] = 11  # repeats the one before
        rows[17]["customer_id"] = None
        rows[23]["amount"] = -19.9
        # FAULT unknown-customer
        rows[30]["customer_id"] = 99
    return rows


def prices(now: datetime, *, fresh: bool) -> list[dict[str, Any]]:
    # FAULT stale-prices: where they are not fresh.
    updated = now - (timedelta(minutes=5) if fresh else timedelta(days=30))
    return [{"product_id": p.id, "price": p.cents / 100, "updated_at": updated.isoformat()} for p in PRODUCTS.values()]
