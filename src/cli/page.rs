//! The room that text has, and how it is broken to fit. What goes to no terminal is neither broken nor shortened.

use console::{Term, measure_text_width, truncate_str};

/// Below this a line is broken as if there were so many columns: less cannot be read in any case.
const NARROWEST: usize = 30;

/// Lines that are shown however low the page is: a screen can be scrolled.
const LEAST: usize = 12;

/// A terminal's size, as it is now; of a pipe or a file there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    columns: Option<usize>,
    rows: Option<usize>,
}

impl Page {
    /// The page behind standard error.
    pub fn of_stderr() -> Self {
        Self::of(&Term::stderr())
    }

    /// The page behind standard output.
    pub fn of_stdout() -> Self {
        Self::of(&Term::stdout())
    }

    fn of(term: &Term) -> Self {
        match term.size_checked() {
            Some((rows, columns)) if columns > 0 => Self::sized(columns.into(), rows.into()),
            _ => Self::default(),
        }
    }

    fn sized(columns: usize, rows: usize) -> Self {
        Self { columns: Some(columns.max(NARROWEST)), rows: Some(rows) }
    }

    /// How many of `most` lines may be shown where `others` have to be on the page as well; never less than twelve.
    pub fn lines(self, most: usize, others: usize) -> usize {
        self.rows.map_or(most, |rows| rows.saturating_sub(others).clamp(LEAST, most.max(LEAST)))
    }

    /// A line, which may be painted, cut where the page ends.
    pub fn fit(self, painted: &str) -> String {
        match self.columns {
            None => painted.to_owned(),
            Some(columns) => truncate_str(painted, columns, "…").into_owned(),
        }
    }

    /// Plain text in lines. The first one stands behind `first` columns that are taken, the others behind `others`.
    pub fn wrap(self, text: &str, first: usize, others: usize) -> Vec<String> {
        let Some(columns) = self.columns else { return vec![text.to_owned()] };
        let room = |line: usize| {
            let taken = if line == 0 { first } else { others };
            columns.saturating_sub(taken).max(NARROWEST / 2)
        };
        let mut lines: Vec<String> = Vec::new();
        let mut current = String::new();
        for word in text.split(' ') {
            let mut word = word;
            let width = measure_text_width(&current);
            if width > 0 && width + 1 + measure_text_width(word) > room(lines.len()) {
                lines.push(std::mem::take(&mut current));
            } else if width > 0 {
                current.push(' ');
            }
            // What has no space in it (a path, say) is broken where the line ends.
            while measure_text_width(word) > room(lines.len()) {
                let fits = truncate_str(word, room(lines.len()), "").len();
                if fits == 0 {
                    break;
                }
                lines.push(word[..fits].to_owned());
                word = &word[fits..];
            }
            current.push_str(word);
        }
        lines.push(current);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::paint::{BAD, paint};

    #[test]
    fn no_line_is_wider_than_the_page_and_no_word_is_lost() {
        let text = "tests that passed before fail now: a::very::long::path::that::does::not::fit::anywhere::at::all::at::once and 日本語日本語日本語日本語日本語日本語日本語 more";
        for columns in [30, 31, 50, 80, 300] {
            let page = Page::sized(columns, 24);
            let lines = page.wrap(text, 9, 6);
            for (number, line) in lines.iter().enumerate() {
                let taken = if number == 0 { 9 } else { 6 };
                assert!(measure_text_width(line) + taken <= columns, "{columns}: {line}");
            }
            let bare = |text: &str| text.replace(' ', "");
            assert_eq!(bare(&lines.concat()), bare(text));
        }
    }

    #[test]
    fn what_goes_to_no_terminal_stays_as_it_is() {
        let page = Page::default();
        let text = "x".repeat(500);
        assert_eq!(page.wrap(&text, 9, 6), vec![text.clone()]);
        assert_eq!(page.fit(&text), text);
        assert_eq!(page.lines(40, 18), 40);
    }

    #[test]
    fn a_painted_line_is_cut_by_what_is_seen_of_it() {
        let painted = format!("{} and more", paint(BAD, "x".repeat(28)));
        let cut = Page::sized(30, 24).fit(&painted);
        assert_eq!(measure_text_width(&cut), 30);
        assert!(cut.ends_with('…'), "{cut:?}");
    }

    #[test]
    fn a_low_page_leaves_room_for_what_else_has_to_be_on_it() {
        assert_eq!(Page::sized(80, 30).lines(40, 14), 16);
        assert_eq!(Page::sized(80, 10).lines(40, 14), 12);
        assert_eq!(Page::sized(80, 100).lines(40, 14), 40);
    }
}
