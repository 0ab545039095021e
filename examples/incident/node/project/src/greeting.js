/** What a customer reads about an order. */
export function greeting(order) {
  return `order ${order.id}: thank you, ${order.customer.name}`;
}
