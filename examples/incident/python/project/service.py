"""Prices orders that come as lines of JSON on standard input."""

import json
import sys

from shop.pricing import mean_price


def main():
    # Read without a buffer: what this process does not get to is there for the next one.
    while line := sys.stdin.buffer.raw.readline():
        order = json.loads(line)
        print(f"order {order['id']}: {mean_price(order['prices']):.2f}", flush=True)
    print("no more orders", flush=True)


if __name__ == "__main__":
    main()
