import assert from "node:assert/strict";
import { test } from "node:test";

import { Cart, formatCents, roundCents } from "../dist/index.js";

test("an empty cart costs nothing", () => {
  assert.equal(new Cart().total(), 0);
});

test("prices are multiplied by quantities", () => {
  const cart = new Cart();
  cart.add({ name: "pen", price: 120, quantity: 3 });
  cart.add({ name: "pad", price: 450, quantity: 1 });
  assert.equal(cart.total(), 810);
  assert.equal(cart.total(15), 689);
});

test("the same item is listed once", () => {
  const cart = new Cart();
  cart.add({ name: "pen", price: 120, quantity: 1 });
  cart.add({ name: "pen", price: 120, quantity: 1 });
  assert.deepEqual(cart.receipt(), ["2 x pen 1.20", "Total 2.40"]);
});

test("what was added can change without changing the cart", () => {
  const cart = new Cart();
  const item = { name: "pen", price: 120, quantity: 1 };
  cart.add(item);
  item.quantity = 9;
  assert.equal(cart.total(), 120);
});

test("amounts are written and rounded", () => {
  assert.equal(formatCents(5), "0.05");
  assert.equal(formatCents(-1234), "-12.34");
  assert.equal(roundCents(-2.5), -3);
});
