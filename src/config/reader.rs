//! Reads TOML so that every complaint names the file, the line and, for a key nobody knows, the nearest one that is known.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::quantity::{parse_duration, parse_size};
use crate::fault::Fault;
use crate::usage::Money;

/// The largest configuration file that is read, in bytes.
pub(super) const LARGEST: u64 = 1 << 20;

/// A configuration file: its name for messages, its text, and where each key that was read stands.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub name: String,
    text: &'a str,
    /// Full key (`budget.run_usd`) to the line that sets it.
    pub lines: RefCell<BTreeMap<String, usize>>,
}

/// One table of a file.
#[derive(Debug)]
pub(super) struct Section<'s, 't> {
    source: &'s Source<'s>,
    /// Full key of the table, empty at the top.
    pub path: String,
    /// The line of its header.
    pub line: usize,
    table: &'t DeTable<'s>,
    known: &'static [&'static str],
}

impl<'a> Source<'a> {
    pub(super) fn new(name: impl Into<String>, text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { name: name.into(), text, lines: RefCell::default() }
    }

    /// The table of the whole file.
    pub(super) fn parse(&self) -> Result<DeTable<'_>, Fault> {
        match DeTable::parse(self.text) {
            Ok(table) => Ok(table.into_inner()),
            Err(error) => {
                let line = self.line(error.span().map_or(0, |span| span.start));
                let what = error.message().lines().next().unwrap_or("not TOML").to_owned();
                Err(Fault::usage(format!("{} line {line}: {what}", self.name)))
            }
        }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
    }
}

impl<'s, 't> Section<'s, 't> {
    /// The top of the file; its keys are `known`.
    pub(super) fn top(
        source: &'s Source<'s>,
        table: &'t DeTable<'s>,
        known: &'static [&'static str],
    ) -> Result<Self, Fault> {
        let section = Self { source, path: String::new(), line: 1, table, known };
        section.refuse_unknown()?;
        Ok(section)
    }

    fn child(
        &self,
        path: String,
        value: &'t Spanned<DeValue<'s>>,
        known: &'static [&'static str],
    ) -> Result<Self, Fault> {
        let line = self.source.line(value.span().start);
        let Some(table) = value.get_ref().as_table() else {
            return Err(self.complain(&path, line, "must be a table"));
        };
        self.source.lines.borrow_mut().insert(path.clone(), line);
        let section = Self { source: self.source, path, line, table, known };
        section.refuse_unknown()?;
        Ok(section)
    }

    fn refuse_unknown(&self) -> Result<(), Fault> {
        let mut unknown: Vec<_> =
            self.table.keys().filter(|key| !self.known.contains(&key.get_ref().as_ref())).collect();
        unknown.sort_by_key(|key| key.span().start);
        let Some(key) = unknown.first() else { return Ok(()) };
        let name: String = key.get_ref().chars().take(60).collect();
        let place = if self.path.is_empty() { String::new() } else { format!("in [{}] ", self.path) };
        let advice = match nearest(&name, self.known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", self.known.join(", ")),
        };
        Err(Fault::usage(format!(
            "unknown key `{name}` {place}of {} line {}; {advice}",
            self.source.name,
            self.source.line(key.span().start)
        )))
    }

    fn key(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    fn take(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'s>>> {
        debug_assert!(self.known.contains(&key), "{key} is not among the known keys of [{}]", self.path);
        let value = self.table.get(key)?;
        self.source.lines.borrow_mut().insert(self.key(key), self.source.line(value.span().start));
        Some(value)
    }

    /// A fault about `key`, with the line where its value stands (the table's own where it is absent).
    pub(super) fn wrong(&self, key: &str, what: &str) -> Fault {
        let line = self.table.get(key).map_or(self.line, |value| self.source.line(value.span().start));
        self.complain(&self.key(key), line, what)
    }

    fn complain(&self, key: &str, line: usize, what: &str) -> Fault {
        Fault::usage(format!("`{key}` in {} line {line} {what}", self.source.name))
    }

    pub(super) fn string(&self, key: &'static str) -> Result<Option<String>, Fault> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(self.wrong(key, "must be text in quotes")),
        }
    }

    /// Text that is one of `allowed`, read by `parse`.
    pub(super) fn choice<T>(
        &self,
        key: &'static str,
        allowed: &[&'static str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| {
            let near = nearest(&text, allowed).map(|near| format!("; did you mean \"{near}\"?"));
            self.wrong(key, &format!("must be one of {}{}", allowed.join(", "), near.unwrap_or_default()))
        })
    }

    pub(super) fn boolean(&self, key: &'static str) -> Result<Option<bool>, Fault> {
        let Some(value) = self.take(key) else { return Ok(None) };
        value.get_ref().as_bool().map(Some).ok_or_else(|| self.wrong(key, "must be true or false"))
    }

    /// A whole number within `range`.
    pub(super) fn integer(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Fault> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.get_ref().as_integer().filter(|number| number.radix() == 10);
        let number = number.and_then(|number| number.as_str().replace('_', "").parse().ok());
        number.filter(|number| range.contains(number)).map(Some).ok_or_else(|| {
            self.wrong(key, &format!("must be a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// An amount of dollars, not negative.
    pub(super) fn money(&self, key: &'static str) -> Result<Option<Money>, Fault> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let text = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => "",
        };
        match text.replace('_', "").parse::<f64>() {
            Ok(usd) if usd.is_finite() && (0.0..=1e9).contains(&usd) => Ok(Some(Money::from_usd(usd))),
            _ => Err(self.wrong(key, "must be an amount of dollars, for instance 1.50")),
        }
    }

    /// A duration, at least a millisecond and at most a week.
    pub(super) fn duration(&self, key: &'static str) -> Result<Option<Duration>, Fault> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        let duration = parse_duration(&text).map_err(|what| self.wrong(key, &format!("is wrong: {what}")))?;
        if duration.is_zero() || duration > Duration::from_secs(7 * 86_400) {
            return Err(self.wrong(key, "must be more than nothing and at most 7 days"));
        }
        Ok(Some(duration))
    }

    /// How long something is kept: at least a second, at most a hundred years.
    pub(super) fn age(&self, key: &'static str) -> Result<Option<Duration>, Fault> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        let age = parse_duration(&text).map_err(|what| self.wrong(key, &format!("is wrong: {what}")))?;
        if age < Duration::from_secs(1) || age > Duration::from_secs(36_525 * 86_400) {
            return Err(self.wrong(key, "must be at least a second and at most 100 years, such as \"30d\""));
        }
        Ok(Some(age))
    }

    /// How long something is waited for: nothing at all, up to a year.
    pub(super) fn wait(&self, key: &'static str) -> Result<Option<Duration>, Fault> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        let wait = parse_duration(&text).map_err(|what| self.wrong(key, &format!("is wrong: {what}")))?;
        if wait > Duration::from_secs(365 * 86_400) {
            return Err(self.wrong(key, "must be at most 365 days, such as \"1d\", or \"0s\""));
        }
        Ok(Some(wait))
    }

    /// A number of bytes.
    pub(super) fn size(&self, key: &'static str) -> Result<Option<u64>, Fault> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        parse_size(&text).map(Some).map_err(|what| self.wrong(key, &format!("is wrong: {what}")))
    }

    /// A list of texts, at most 1,000.
    pub(super) fn strings(&self, key: &'static str) -> Result<Option<Vec<String>>, Fault> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let wrong = || self.wrong(key, "must be a list of texts in quotes, at most 1000");
        let list = value.get_ref().as_array().ok_or_else(wrong)?;
        let texts: Option<Vec<_>> = list.iter().map(|one| Some(one.get_ref().as_str()?.to_owned())).collect();
        texts.filter(|texts| texts.len() <= 1000).map(Some).ok_or_else(wrong)
    }

    /// Globs, checked.
    pub(super) fn globs(&self, key: &'static str) -> Result<Option<Vec<String>>, Fault> {
        let Some(globs) = self.strings(key)? else { return Ok(None) };
        for glob in &globs {
            globset::Glob::new(glob)
                .map_err(|error| self.wrong(key, &format!("has a wrong glob: {error}")))?;
        }
        Ok(Some(globs))
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the key holds a list rather than one value.
    pub(super) fn is_list(&self, key: &'static str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_array())
    }

    /// A sub-table.
    pub(super) fn section(
        &self,
        key: &'static str,
        known: &'static [&'static str],
    ) -> Result<Option<Section<'s, 't>>, Fault> {
        let Some(value) = self.take(key) else { return Ok(None) };
        self.child(self.key(key), value, known).map(Some)
    }

    /// A table of named sub-tables (`[checks.build]`), in the order of the file.
    pub(super) fn named(
        &self,
        key: &'static str,
        known: &'static [&'static str],
    ) -> Result<Vec<(String, Section<'s, 't>)>, Fault> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let Some(table) = value.get_ref().as_table() else {
            return Err(self.wrong(key, &format!("must be tables, for instance [{key}.name]")));
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let section = |(name, value): (&'t Spanned<_>, &'t Spanned<DeValue<'s>>)| {
            let name: &std::borrow::Cow<'_, str> = name.get_ref();
            let child = self.child(format!("{}.{name}", self.key(key)), value, known)?;
            Ok((name.to_string(), child))
        };
        entries.into_iter().map(section).collect()
    }

    /// A list of tables (`[[ladder]]`), `None` where the key is absent.
    pub(super) fn list(
        &self,
        key: &'static str,
        known: &'static [&'static str],
    ) -> Result<Option<Vec<Section<'s, 't>>>, Fault> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let Some(list) = value.get_ref().as_array() else {
            return Err(self.wrong(key, &format!("must be tables, written [[{key}]]")));
        };
        let section =
            |(at, value): (usize, _)| self.child(format!("{}.{}", self.key(key), at + 1), value, known);
        list.iter().enumerate().map(section).collect::<Result<_, _>>().map(Some)
    }
}

/// The one of `known` that `word` most probably stands for.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: String = word.chars().take(60).collect::<String>().to_lowercase();
    let most = (word.chars().count() / 3).max(2);
    known
        .iter()
        .map(|one| (strsim::osa_distance(&word, one), *one))
        .filter(|(distance, one)| *distance <= most && *distance < one.len())
        .min()
        .map(|(_, one)| one)
}
