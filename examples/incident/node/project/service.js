// Greets customers whose orders come as lines of JSON on standard input.
import { readSync } from "node:fs";

import { greeting } from "./src/greeting.js";

// Read byte by byte: what this process does not get to is there for the next one.
function readLine() {
  const bytes = [];
  const byte = Buffer.alloc(1);
  while (readSync(0, byte, 0, 1) === 1) {
    if (byte[0] === 10) return Buffer.from(bytes).toString();
    bytes.push(byte[0]);
  }
  return bytes.length > 0 ? Buffer.from(bytes).toString() : undefined;
}

for (let line = readLine(); line !== undefined; line = readLine()) {
  console.log(greeting(JSON.parse(line)));
}
console.log("no more orders");
