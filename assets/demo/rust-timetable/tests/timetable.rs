use timetable::{count_by_line, next, parse};

const STOP: &str = "M1 07:45\n27 06:30\nM1 08:15\n\nno bus\nM1 25:00\n";

#[test]
fn departures_are_sorted_and_nonsense_is_left_out() {
    let minutes: Vec<u32> = parse(STOP).iter().map(|departure| departure.minute).collect();
    assert_eq!(minutes, [390, 465, 495]);
}

#[test]
fn the_next_bus_is_found() {
    let departures = parse(STOP);
    assert_eq!(next(&departures, 466).unwrap().minute, 495);
    assert_eq!(next(&departures, 390).unwrap().line, "27");
}

#[test]
fn after_the_last_bus_comes_the_first() {
    assert_eq!(next(&parse(STOP), 1439).unwrap().line, "27");
    assert_eq!(next(&[], 0), None);
}

#[test]
fn lines_are_counted() {
    assert_eq!(count_by_line(&parse(STOP)), [("27".to_string(), 1), ("M1".to_string(), 2)]);
}
