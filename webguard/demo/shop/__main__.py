"""`python -m webguard.demo.shop --port N`: the shop alone."""

import argparse
import os

import uvicorn

from webguard.demo.shop.app import make_app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m webguard.demo.shop", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port: int = parser.parse_args().port
    app = make_app(os.environ.get("SHOP_PASSWORD", "demo"))
    # The slow report must not hold up the end.
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
