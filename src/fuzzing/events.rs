//! What must hold of any events, of this version, an older or a newer one.

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::paint;
use crate::run::Run;
use crate::run::events::{Event, Proof, Record};

/// Reads each line as an event, and folds what can be read into a run.
pub(super) fn holds(lines: &str) {
    let mut records = Vec::new();
    for line in lines.lines() {
        paint::plain(line);
        let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
        if let Ok(proof) = serde_json::from_value::<Proof>(value.clone()) {
            let again = serde_json::to_value(&proof).expect("a proof is JSON");
            assert_eq!(serde_json::from_value::<Proof>(again).expect("and is read again"), proof);
        }
        let Ok(event) = serde_json::from_value::<Event>(value.clone()) else { continue };
        let at = Timestamp::UNIX_EPOCH;
        let record = Record { run: "r".to_owned(), seq: records.len() as u64 + 1, at, event };
        // As it is kept, and as `--json` prints it.
        let kept = serde_json::to_value(&record.event).expect("an event is JSON");
        assert_eq!(kept["event"], record.event.kind());
        assert_eq!(serde_json::from_value::<Event>(kept).expect("and is read again"), record.event);
        let mut printed = serde_json::to_value(&record).expect("a record is JSON");
        assert_eq!(serde_json::from_value::<Record>(printed.clone()).expect("and is read again"), record);
        // A newer version says more.
        printed["not-yet-known"] = Value::from("x");
        assert_eq!(
            serde_json::from_value::<Record>(printed).expect("what is unknown is passed over"),
            record
        );
        records.push(record);
    }
    let Ok(mut run) = Run::fold(&records) else { return };
    let _ = (run.next(), run.base(), run.history(), run.credited(), run.awaits_approval());
    let _ = (run.supporters(), run.has_lapsed(Timestamp::UNIX_EPOCH), run.is_asked(Timestamp::UNIX_EPOCH));
    for record in &records {
        run.apply(record);
        run.next();
    }
}
