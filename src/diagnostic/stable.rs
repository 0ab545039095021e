//! Texts without what changes from run to run.

use std::sync::LazyLock;

use regex::Regex;

/// What changes from run to run, and what it becomes. The order matters.
static VOLATILE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules: &[(&str, &str)] = &[
        (r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", "<id>"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b", "<time>"),
        (r"0x[0-9a-fA-F]+", "<address>"),
        (r"(?:/private)?(?:/var)?/(?:tmp|temp|folders|run/user)/[^\s:'\x22`,;)\]}>]*", "<temporary>"),
        (r"[A-Za-z]:\\[^\s]*\\Temp\\[^\s:'\x22]*", "<temporary>"),
        (r"\b(?:tmp|temp)[-_.]?[A-Za-z0-9_]{6,}\b", "<temporary>"),
        (r"\b[0-9a-f]{12,64}\b", "<hash>"),
        (r"\b\d+(?:\.\d+)?\s?(?:ms|µs|us|ns|s|sec|secs|seconds?|minutes?|m)\b", "<duration>"),
        (r":\d+:\d+(?:-\d+)?\b", "<place>"),
        (r"\(\d+[:,]\d+\)", "<place>"),
        (r"(?i)\b(lines?|column|col|port|pid|process|thread|goroutine) #?\d+\b", "$1 <n>"),
        (r"(\.\w{1,5}):\d+\b", "$1<place>"),
        (
            r"(?i)\b\d+ (errors?|warnings?|tests?|problems?|failures?|failed|passed|passing|failing|skipped|items?|files?|modules?|previous|more|other|others)\b",
            "<n> $1",
        ),
        (r"\b\d{5,}\b", "<n>"),
    ];
    rules.iter().filter_map(|(pattern, with)| Regex::new(pattern).ok().map(|regex| (regex, *with))).collect()
});

/// A text without what changes from run to run: addresses, temporary names, times, places, counts.
pub fn stable(text: &str) -> String {
    let mut text = text[..text.floor_char_boundary(4_000)].to_owned();
    for (regex, with) in VOLATILE.iter() {
        if let std::borrow::Cow::Owned(changed) = regex.replace_all(&text, *with) {
            text = changed;
        }
    }
    let mut words = text.split_whitespace();
    let mut out = words.next().unwrap_or("").to_owned();
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
    out
}
