import assert from "node:assert/strict";
import { test } from "node:test";

import { greeting } from "../src/greeting.js";

test("greets by name", () => {
  assert.equal(greeting({ id: 1, customer: { name: "Ada" } }), "order 1: thank you, Ada");
});
