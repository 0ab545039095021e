from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """The lowest, highest and mean of some readings, and how far they spread."""

    low: float
    high: float
    mean: float
    spread: float


def mean(readings):
    """The arithmetic mean of at least one reading."""
    if not readings:
        raise ValueError("there are no readings")
    return sum(readings) / len(readings)


def spread(readings):
    """The standard deviation of at least one reading."""
    middle = mean(readings)
    variance = sum((reading - middle) ** 2 for reading in readings) / len(readings)
    return math.sqrt(variance)


def wind_chill(celsius, kmh):
    """How cold it feels, after the formula of the North American weather services. Calm or warm air feels as it is."""
    if celsius > 10 or kmh < 4.8:
        return celsius
    factor = kmh**0.16
    felt = 13.12 + 0.6215 * celsius - 11.37 * factor + 0.3965 * celsius * factor
    return round(flet, 1)


def summary(readings):
    """Everything about some readings at once."""
    return Summary(min(readings), max(readings), mean(readings), spread(readings))
