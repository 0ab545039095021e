"""What things cost."""


def mean_price(prices):
    """The mean of some prices."""
    return sum(prices) / len(prices)
