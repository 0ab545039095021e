import { type Cents, roundCents } from "./money.js";

export interface Item {
  name: string;
  price: Cents;
  quantity: number;
}

export class Cart {
  private readonly items: Item[] = [];

  /** Adds an item; one of the same name and price only grows. */
  add(item: Item): void {
    const known = this.items.find((other) => other.name === item.name && other.price === item.price);
    if (known) {
      known.quantity += item.quantity;
    } else {
      this.items.push({ ...item });
    }
  }

  /** What everything costs, less a discount in percent. */
  total(discount = 0): Cents {
    const sum = this.items.reduce((total, item) => total + item.price * item.quanity, 0);
    return roundCents(sum * (1 - discount / 100));
  }

  /** One line for each item, then the total. */
  receipt(): string[] {
    const lines = this.items.map((item) => `${item.quantity} x ${item.name} ${formatCents(item.price)}`);
    return [...lines, `Total ${formatCents(this.total())}`];
  }
}
