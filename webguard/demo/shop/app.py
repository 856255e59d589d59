"""The shop: pages with a cart and a form, a JSON API with a login, exports. State is in memory."""

import asyncio
import csv
import io
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

import polars as pl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from webguard.demo.shop import pages
from webguard.demo.shop.catalog import CUSTOMERS, PRODUCTS, orders, prices

SLOW_SECONDS = 30.0
MOST_OF_ONE = 99


@dataclass
class Shop:
    """What the shop remembers."""

    password: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    carts: dict[str, dict[int, int]] = field(default_factory=dict)
    tokens: dict[str, list[int]] = field(default_factory=dict)  # who signed in → numbers of their orders
    last_number: int = 999
    ordered: dict[int, dict[str, Any]] = field(default_factory=dict)
    seen_keys: set[str] = field(default_factory=set)

    # -- pages ---------------------------------------------------------------------------------------------

    def cart_of(self, request: Request) -> tuple[str, dict[int, int]]:
        visitor = request.cookies.get("visitor") or secrets.token_hex(8)
        return visitor, self.carts.setdefault(visitor, {})

    def html(self, request: Request, title: str, body: str, status: int = 200) -> HTMLResponse:
        visitor, cart = self.cart_of(request)
        response = HTMLResponse(pages.page(title, body, sum(cart.values())), status)
        response.set_cookie("visitor", visitor, httponly=True, samesite="lax")
        return response

    async def home(self, request: Request) -> Response:
        search = request.query_params.get("q", "")
        found = [p for p in PRODUCTS.values() if search.lower() in p.name.lower()]
        return self.html(request, "Products", pages.home(found, search))

    async def product(self, request: Request) -> Response:
        found = PRODUCTS.get(request.path_params["number"])
        if found is None:
            return self.html(request, "Not found", "<p>We do not sell that.</p>", 404)
        return self.html(request, found.name, pages.product(found))

    async def cart(self, request: Request) -> Response:
        return self.html(request, "Cart", pages.cart(self.cart_of(request)[1]))

    async def add(self, request: Request) -> Response:
        visitor, cart = self.cart_of(request)
        number = request.path_params["number"]
        if number in PRODUCTS:
            async with request.form() as form:
                quantity = str(form.get("quantity", "1"))
            more = int(quantity) if quantity.isdecimal() and len(quantity) < 4 else 1
            cart[number] = min(cart.get(number, 0) + max(more, 1), MOST_OF_ONE)
        response = RedirectResponse("/cart", 303)
        response.set_cookie("visitor", visitor, httponly=True, samesite="lax")
        return response

    async def remove(self, request: Request) -> Response:
        self.cart_of(request)[1].pop(request.path_params["number"], None)
        return RedirectResponse("/cart", 303)

    async def checkout(self, request: Request) -> Response:
        if request.method == "GET":
            return self.html(request, "Checkout", pages.CHECKOUT)
        async with request.form() as form:
            name, file = str(form.get("name", "")), form.get("order")
            attached = getattr(file, "filename", "")
        self.cart_of(request)[1].clear()
        note = f"<p>We got your purchase order {escape(attached)}.</p>" if attached else ""
        return self.html(request, "Thank you", f"<p>Thank you, {escape(name)}. Your order is on its way.</p>{note}")

    async def account(self, request: Request) -> Response:
        if request.method == "GET":
            return self.html(request, "Account", pages.LOGIN.format(problem=""))
        async with request.form() as form:
            ok = form.get("user") == "demo" and form.get("password") == self.password
        if not ok:
            return self.html(request, "Account", pages.LOGIN.format(problem="Wrong user or password."), 401)
        return self.html(request, "Account", "<p>Welcome back, demo.</p>")

    async def order_page(self, request: Request) -> Response:
        found = self.ordered.get(request.path_params["number"])
        if found is None:
            return self.html(request, "Not found", "<p>There is no such order.</p>", 404)
        body = f"<p>{escape(found['product'])}: <span data-testid='status'>{found['status']}</span></p>"
        return self.html(request, f"Order {found['id']}", body)

    # -- API -----------------------------------------------------------------------------------------------

    async def log_in(self, request: Request) -> Response:
        body = await _json(request)
        if body.get("user") != "demo" or body.get("password") != self.password:
            return JSONResponse({"error": "wrong user or password"}, 401)
        token = secrets.token_hex(16)
        self.tokens[token] = []
        return JSONResponse({"token": token, "expires_in": 3600})

    async def products(self, request: Request) -> Response:
        offset, limit = (_number(request.query_params.get(name), default) for name, default in _PAGE)
        if offset is None or limit is None:
            return JSONResponse({"error": "offset, limit: whole numbers from 0 to 999"}, 422)
        items = [p.document for p in PRODUCTS.values()][offset : offset + limit]
        return JSONResponse({"items": items, "total": len(PRODUCTS), "offset": offset})

    async def product_document(self, request: Request) -> Response:
        number = request.path_params["number"]
        if number == 13:  # FAULT product-13
            return JSONResponse({"error": "KeyError: 'Black cat'"}, 500)
        if number not in PRODUCTS:
            return JSONResponse({"error": f"there is no product {number}"}, 404)
        document = PRODUCTS[number].document
        if number == 7:  # FAULT price-text
            document["price"] = f"{document['price']} EUR"
        return JSONResponse(document)

    async def order(self, request: Request) -> Response:
        mine = self.orders_of(request)
        if mine is None:
            return _SIGN_IN
        wanted = (await _json(request)).get("product_id")
        product = PRODUCTS.get(wanted) if type(wanted) is int else None
        if product is None:
            return JSONResponse({"error": "product_id: there is no such product"}, 422)
        self.last_number += 1
        order = {"id": self.last_number, "product": product.name, "status": "new", "price": product.cents / 100}
        self.ordered[self.last_number] = order
        mine.append(self.last_number)
        return JSONResponse(order, 201)

    async def last_order(self, request: Request) -> Response:
        """The last order of whoever asks: suites that run side by side do not meet."""
        mine = self.orders_of(request)
        if mine is None:
            return _SIGN_IN
        if not mine:
            return JSONResponse({"error": "you have ordered nothing"}, 404)
        if request.method == "DELETE":
            del self.ordered[mine.pop()]
            return Response(status_code=204)
        return JSONResponse(self.ordered[mine[-1]])

    def orders_of(self, request: Request) -> list[int] | None:
        """None: not signed in."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.tokens.get(token) if scheme == "Bearer" else None

    async def stock(self, request: Request) -> Response:
        key = request.query_params.get("key", "")
        if key not in self.seen_keys:  # FAULT flaky-stock
            self.seen_keys.add(key)
            return JSONResponse({"error": "warming up"}, 503)
        return JSONResponse({"in_stock": 12})

    async def report(self, _: Request) -> Response:
        await asyncio.sleep(SLOW_SECONDS)  # FAULT slow-report
        return JSONResponse({"sales": 123})

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "products": len(PRODUCTS)})

    # -- exports -------------------------------------------------------------------------------------------

    async def export(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "customers.json":
            return JSONResponse(CUSTOMERS)
        if name == "orders.csv":
            return _csv(orders(sound=False))
        if name == "archive.csv":
            return _csv(orders(sound=True))
        if name == "prices.csv":
            return _csv(prices(self.now(), fresh=False))
        if name == "stock.csv":
            return _csv(prices(self.now(), fresh=True))
        if name == "products.parquet":
            buffer = io.BytesIO()
            pl.DataFrame([p.document for p in PRODUCTS.values()]).write_parquet(buffer)
            return Response(buffer.getvalue(), media_type="application/vnd.apache.parquet")
        return JSONResponse({"error": f"there is no export {name}"}, 404)


_SIGN_IN = JSONResponse({"error": "sign in first"}, 401)
_PAGE = (("offset", 0), ("limit", 100))


def _number(text: str | None, default: int) -> int | None:
    """None: not a number that a page can have."""
    if text is None:
        return default
    return int(text) if text.isdecimal() and len(text) < 4 else None


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _csv(rows: list[dict[str, Any]]) -> Response:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return Response(text.getvalue(), media_type="text/csv")


def make_app(password: str) -> Starlette:
    shop = Shop(password)
    return Starlette(
        routes=[
            Route("/", shop.home),
            Route("/products/{number:int}", shop.product),
            Route("/cart", shop.cart),
            Route("/cart/{number:int}", shop.add, methods=["POST"]),
            Route("/cart/{number:int}/remove", shop.remove, methods=["POST"]),
            Route("/checkout", shop.checkout, methods=["GET", "POST"]),
            Route("/account", shop.account, methods=["GET", "POST"]),
            Route("/orders/{number:int}", shop.order_page),
            Route("/api/health", shop.health),
            Route("/api/login", shop.log_in, methods=["POST"]),
            Route("/api/products", shop.products),
            Route("/api/products/{number:int}", shop.product_document),
            Route("/api/orders", shop.order, methods=["POST"]),
            Route("/api/orders/last", shop.last_order, methods=["GET", "DELETE"]),
            Route("/api/stock", shop.stock),
            Route("/api/reports/sales", shop.report),
            Route("/export/{name}", shop.export),
        ]
    )
