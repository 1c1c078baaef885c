"""A small shop to index, and how a test opens it."""

from pathlib import Path

from tools.index import Index, open_index

SHOP = {
    "shop/__init__.py": "",
    "shop/cart.py": '''"""A cart."""

import math

from shop.prices import price_of, round_price

MAX_ITEMS = 99


class Cart:
    """Holds items."""

    limit = MAX_ITEMS

    def __init__(self, owner):
        self.owner = owner
        self.items = []

    def add(self, name, count=1):
        """Add an item; a full cart refuses it."""
        if len(self.items) + count > self.limit:
            raise ValueError("cart is full")
        self.items += [name] * count

    def total(self):
        return round_price(math.fsum(price_of(name) for name in self.items))


def merge_carts(left, right):
    cart = Cart(left.owner)
    for name in left.items + right.items:
        cart.add(name)
    return cart
''',
    "shop/prices.py": """PRICES = {"tea": 2.5}


def price_of(name):
    return PRICES[name]


def round_price(amount):
    return round(amount, 2)
""",
    "tests/test_cart.py": """from shop.cart import Cart, merge_carts


def test_total_is_rounded():
    cart = Cart("ann")
    cart.add("tea")
    assert cart.total() == 2.5


def test_merge_carts():
    assert merge_carts(Cart("a"), Cart("b")).items == []
""",
    "web/app.js": """import { get } from "./http.js";

export const LIMIT = 3;

export class CartView {
  render(cart) {
    return cart.items.map((item) => item.name);
  }
}

export const loadCart = async (id) => get(`/cart/${id}`);
""",
}


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)


def opened(tmp_path: Path, files: dict[str, str | bytes] | dict[str, str] = SHOP) -> Index:
    root = tmp_path / "repo"
    root.mkdir()
    write(root, dict(files))
    return open_index(root, tmp_path / "cache")
