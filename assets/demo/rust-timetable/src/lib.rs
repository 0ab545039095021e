//! Departures of a bus stop.

/// One bus. Times are minutes after midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    pub line: String,
    pub minute: u32,
}

/// Reads lines such as `M1 07:45`. Lines that are no departure are left out.
pub fn parse(text: &str) -> Vec<Departure> {
    let departures = Vec::new();
    for row in text.lines() {
        if let Some(departure) = parse_row(row) {
            departures.push(departure);
        }
    }
    departures.sort_by_key(|departure: &Departure| departure.minute);
    departures
}

fn parse_row(row: &str) -> Option<Departure> {
    let (line, time) = row.trim().split_once(' ')?;
    let (hours, minutes) = time.trim().split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then(|| Departure { line: line, minute: hours * 60 + minutes })
}

/// The first departure at or after `minute`; after the last one of the day, the first of the next.
pub fn next(departures: &[Departure], minute: u32) -> Option<&Departure> {
    departures.iter().find(|departure| departure.minute >= minute).or(departures.first())
}

/// How many buses each line has, in the order in which the lines first leave.
pub fn count_by_line(departures: &[Departure]) -> Vec<(String, usize)> {
    let counts: Vec<(String, usize)> = Vec::new();
    for departure in departures {
        match counts.iter_mut().find(|(line, _)| *line == departure.line) {
            Some((_, count)) => *count += 1,
            None => counts.push((departure.line.clone(), 1)),
        }
    }
    counts
}
