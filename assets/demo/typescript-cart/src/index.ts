export { Cart, type Item } from "./cart.js";
export { formatCents, roundCents, type Cents } from "./money.js";
