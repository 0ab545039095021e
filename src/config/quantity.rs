//! Amounts as people write them: `90s`, `1h30m`, `512MiB`.

use std::time::Duration;

/// Reads a duration: one or more whole numbers, each with a unit of `ms`, `s`, `m`, `h` or `d`, largest first (`1h30m`).
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let form = || format!("{text:?} is no duration; write for instance \"90s\", \"3m\" or \"1h30m\"");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(form());
    }
    let mut total = Duration::ZERO;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| form())?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let milliseconds: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(form()),
        };
        if milliseconds >= last {
            return Err(form());
        }
        last = milliseconds;
        rest = &rest[letters..];
        let part = number.checked_mul(milliseconds).ok_or_else(form)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(form)?;
    }
    Ok(total)
}

/// Writes a duration so that [`parse_duration`] reads it back, rounded to milliseconds.
pub fn render_duration(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= size {
            text += &format!("{}{unit}", left / size);
            left %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a number of bytes: a whole number with `B`, `KB`, `MB`, `GB`, `TB` (thousands) or `KiB`, `MiB`, `GiB`, `TiB`.
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let form = || format!("{text:?} is no size; write for instance \"512MiB\" or \"4GiB\"");
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().map_err(|_| form())?;
    let unit: u64 = match text[digits..].trim() {
        "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(form()),
    };
    number.checked_mul(unit).ok_or_else(form)
}

/// Writes a number of bytes in the largest unit that loses nothing.
pub fn render_size(bytes: u64) -> String {
    for (unit, size) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_back() {
        for (text, seconds) in [("90s", 90), ("3m", 180), ("1h30m", 5400), ("1d", 86400), (" 2m5s ", 125)] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_secs(seconds), "{text}");
            assert_eq!(parse_duration(&render_duration(duration)), Ok(duration));
        }
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(render_duration(Duration::ZERO), "0s");
        for bad in
            ["", "3", "m", "3 m", "-3m", "3m1h", "3m3m", "3q", "99999999999999999999s", "9999999999999d"]
        {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_read_and_written_back() {
        for (text, bytes) in [("512MiB", 512 << 20), ("4GiB", 4 << 30), ("10 MB", 10_000_000), ("7B", 7)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(parse_size(&render_size(bytes)), Ok(bytes));
        }
        for bad in ["", "12", "GiB", "1.5GiB", "-1B", "99999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
    }
}
