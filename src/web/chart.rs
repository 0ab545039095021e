//! Bars as shares of the largest, for the pages' own SVG. Every chart stands beside the table of its numbers, so that it needs to say
//! nothing that is not there.

use minijinja::{Value, context};

/// Width of a chart in its own units.
const WIDTH: f64 = 720.0;
/// Height of the bars.
const HEIGHT: f64 = 120.0;

/// A column for each name, made of parts that stand on each other.
pub(super) fn stacked<'n, const N: usize>(columns: impl Iterator<Item = (&'n str, [u64; N])>) -> Value {
    let columns: Vec<(&str, [u64; N])> = columns.collect();
    let most = columns.iter().map(|(_, parts)| parts.iter().sum::<u64>()).max().unwrap_or(0);
    let step = WIDTH / columns.len().max(1) as f64;
    let bars =
        columns.iter().enumerate().flat_map(|(at, (name, parts))| {
            let mut top = HEIGHT;
            parts.iter().enumerate().filter(|(_, value)| **value > 0).map(move |(part, value)| {
            // What is not nothing is seen.
            let height = (*value as f64 / most as f64 * HEIGHT).max(1.0);
            top -= height;
            context! {
                x => round(at as f64 * step + step * 0.12), y => round(top), width => round(step * 0.76),
                height => round(height), part, name, value,
            }
        }).collect::<Vec<_>>()
        });
    let first = columns.first().map_or("", |(name, _)| name);
    let last = columns.last().map_or("", |(name, _)| name);
    context! { bars => bars.collect::<Vec<Value>>(), most, first, last, width => WIDTH, height => HEIGHT }
}

/// Each value as a share of the largest, in percent.
pub(super) fn shares(values: impl Iterator<Item = u64>) -> Vec<f64> {
    let values: Vec<u64> = values.collect();
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    values.iter().map(|value| round(*value as f64 * 100.0 / most as f64)).collect()
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_on_each_other_and_the_tallest_column_fills_the_chart() {
        let chart = stacked([("a", [2, 2]), ("b", [0, 0]), ("c", [1, 0])].into_iter());
        let bars: Vec<Value> = chart.get_attr("bars").unwrap().try_iter().unwrap().collect();
        let number = |bar: &Value, name: &str| f64::try_from(bar.get_attr(name).unwrap()).unwrap();
        assert_eq!(bars.len(), 3);
        assert_eq!((number(&bars[0], "y"), number(&bars[0], "height")), (60.0, 60.0));
        assert_eq!((number(&bars[1], "y"), number(&bars[1], "height")), (0.0, 60.0));
        assert_eq!((number(&bars[2], "y"), number(&bars[2], "height")), (90.0, 30.0));
    }

    #[test]
    fn nothing_is_a_chart_without_bars() {
        let chart = stacked::<1>(std::iter::empty());
        assert_eq!(chart.get_attr("bars").unwrap().len(), Some(0));
        assert_eq!(shares([0, 0].into_iter()), [0.0, 0.0]);
    }
}
