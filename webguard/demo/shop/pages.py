"""The shop's pages: plain HTML, one style sheet, a little script."""

from html import escape
from pathlib import Path

from webguard.demo.shop.catalog import PRODUCTS, Product

STYLE = (Path(__file__).parent / "style.css").read_text()


def money(cents: int) -> str:
    return f"€{cents / 100:.2f}"


def page(title: str, body: str, cart_count: int) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · Corner Shop</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>
<body><header><strong>Corner Shop</strong><nav aria-label="Main"><a href="/">Products</a>
<a href="/cart">Cart (<span data-testid="cart-count">{cart_count}</span>)</a>
<a href="/account">Account</a></nav></header>
<main><h1>{escape(title)}</h1>{body}</main>
<footer><small>A demo shop with planted faults, served by WebGuard.</small></footer></body></html>"""


def home(found: list[Product], search: str) -> str:
    items = "".join(
        f'<li class="card" data-testid="product"><h2><a href="/products/{p.id}">{escape(p.name)}</a></h2>'
        f'<p>{escape(p.text)}</p><p class="price">{money(p.cents)}</p></li>'
        for p in found
    )
    empty = "" if found else "<p>Nothing found.</p>"
    return f"""<form role="search" action="/"><label for="q">Search</label>
<input id="q" name="q" type="search" value="{escape(search)}"></form>{empty}<ul class="grid">{items}</ul>"""


def product(p: Product) -> str:
    # FAULT gift-wrap: the script calls something that does not exist.
    return f"""<p>{escape(p.text)}</p><p class="price" data-testid="price">{money(p.cents)}</p>
<form method="post" action="/cart/{p.id}"><label for="quantity">Quantity</label>
<select id="quantity" name="quantity"><option>1</option><option>2</option><option>3</option></select>
<p><button>Add to cart</button> <button type="button" class="plain" id="wrap">Gift wrap</button>
<button type="button" class="plain" id="remember">Remember</button></p></form>
<p role="status" id="said"></p>
<script>
document.getElementById("remember").addEventListener("click", () => {{
  document.getElementById("said").textContent = "Remembered";
}});
document.getElementById("wrap").addEventListener("click", () => {{
  wrapping.choose("paper");
  document.getElementById("said").textContent = "Will be wrapped";
}});
</script>"""


def line_total(cents: int, quantity: int) -> int:
    # FAULT cart-total: from three on, one unit too much.
    return cents * quantity if quantity < 3 else cents * (quantity + 1)


def cart(items: dict[int, int]) -> str:
    if not items:
        return '<p>Your cart is empty.</p><p><a href="/">See products</a></p>'
    rows = "".join(
        f"<tr><td>{escape(PRODUCTS[n].name)}</td><td>{quantity}</td>"
        f'<td class="price">{money(line_total(PRODUCTS[n].cents, quantity))}</td>'
        f'<td><form method="post" action="/cart/{n}/remove">'
        f'<button class="plain">Remove {escape(PRODUCTS[n].name)}</button></form></td></tr>'
        for n, quantity in items.items()
    )
    total = sum(line_total(PRODUCTS[n].cents, quantity) for n, quantity in items.items())
    return f"""<table><thead><tr><th>Product</th><th>Quantity</th><th>Price</th><th></th></tr></thead>
<tbody>{rows}</tbody></table><p>Total <span class="price" data-testid="total">{money(total)}</span></p>
<p><a href="/checkout">Checkout</a></p>"""


CHECKOUT = """<form method="post" action="/checkout" enctype="multipart/form-data">
<label for="name">Name</label><input id="name" name="name" required autocomplete="name">
<label for="email">E-mail</label><input id="email" name="email" type="email" required autocomplete="email">
<label for="address">Address</label><input id="address" name="address" required autocomplete="street-address">
<label for="order">Purchase order</label><input id="order" name="order" type="file">
<p><button>Buy</button></p></form>"""

LOGIN = """<form method="post" action="/account"><label for="user">User</label>
<input id="user" name="user" autocomplete="username"><label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password">
<p class="error" role="alert">{problem}</p><p><button>Sign in</button></p></form>"""
