"""Summaries of a weather station's readings."""

from weather.stats import Summary, mean, spread, summary, wind_chill

__all__ = ["Summary", "mean", "spread", "summary", "wind_chill"]
