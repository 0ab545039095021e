//! How values are shown on pages.

use std::time::Duration;

use jiff::Timestamp;
use minijinja::{Environment, Value};

use crate::clock::human;
use crate::proposal::State;
use crate::redact::Redactor;
use crate::store::{RunRow, short};
use crate::usage::Money;
use crate::web::api::repos::id_of;

/// Makes what templates need to show values.
pub(super) fn filters(pages: &mut Environment<'static>) {
    pages.add_filter("short", |id: &str| short(id).to_owned());
    pages.add_filter("folder", |path: &str| folder(path).to_owned());
    pages.add_filter("usd", |micro: u64| usd(micro));
    pages.add_filter("moment", |at: &str| moment(at));
    pages.add_filter("seconds", |seconds: f64| human(Duration::from_secs_f64(seconds.max(0.0))));
    pages.add_filter("percent", |part: f64| format!("{:.0} %", part * 100.0));
    pages.add_filter("minutes", |minutes: u64| match minutes {
        0..=59 => format!("{minutes} min"),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
    });
    pages.add_filter("first_line", |text: &str| text.lines().next().unwrap_or_default().to_owned());
}

fn folder(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// Money as people read it: cents where there are some, and more digits only where there are not.
fn usd(micro: u64) -> String {
    match micro {
        0 => "–".to_owned(),
        1..10_000 => Money(micro).to_string(),
        _ => format!("${:.2}", Money(micro).usd()),
    }
}

fn moment(at: &str) -> String {
    at.parse::<Timestamp>().map_or(at.to_owned(), |at| at.strftime("%b %-d, %H:%M").to_string())
}

/// How a run stands, in a word with a tone.
pub(super) fn standing(row: &RunRow, cut_off: bool) -> (String, &'static str) {
    let word = match (&row.outcome, row.status.as_str()) {
        (_, "waiting") => "waiting".to_owned(),
        (Some(outcome), "finished") => outcome.clone(),
        (_, "running") if cut_off => "cut off".to_owned(),
        (_, status) => status.to_owned(),
    };
    let tone = match word.as_str() {
        "healed" | "green" | "implemented" | "planned" | "applied" => "good",
        "red" | "bug" => "bad",
        "running" | "queued" => "busy",
        _ => "care",
    };
    (word, tone)
}

/// How a proposal stands, in words with a tone.
pub(super) fn proposal(state: State) -> (String, &'static str) {
    let tone = match state {
        State::TestsPassed | State::Approved | State::Applied => "good",
        State::TestsFailed => "bad",
        State::Rejected | State::RolledBack => "care",
        _ => "busy",
    };
    (state.words(), tone)
}

/// A run in a list, as templates read it: its command without what `redactor` knows.
pub(super) fn row(row: &RunRow, cut_off: bool, redactor: &Redactor) -> Value {
    let (word, tone) = standing(row, cut_off);
    let took = row.updated_at.duration_since(row.created_at).unsigned_abs();
    minijinja::context! {
        id => row.id, repo => row.repo, repo_id => id_of(&row.repo), trigger => row.trigger, goal => redactor.redact(&row.goal), word, tone,
        summary => row.summary, landed => row.landed, priority => row.priority.map(|priority| priority.as_str()), cost => row.cost.0,
        created_at => row.created_at.to_string(), took => human(took),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_shown_with_as_many_digits_as_it_needs() {
        assert_eq!(
            [0, 42, 9_999, 10_000, 1_250_000].map(usd),
            ["–", "$0.0000", "$0.0100", "$0.01", "$1.25"].map(String::from)
        );
    }

    #[test]
    fn a_repo_goes_by_its_last_folder() {
        assert_eq!([folder("/a/b/"), folder("/a/b"), folder("/"), folder("x")], ["b", "b", "/", "x"]);
    }
}
