/** Amounts are whole cents. */
export type Cents = number;

/** Rounds half a cent away from zero. */
export function roundCents(amount: number): Cents {
  return Math.sign(amount) * Math.round(Math.abs(amount));
}

/** Writes an amount with two decimals: `1234` becomes `12.34`. */
export function formatCents(amount: Cents): string {
  const digits = String(Math.abs(amount)).padStart(3, "0");
  const sign = amount < 0 ? "-" : "";
  return `${sign}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}
