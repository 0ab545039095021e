//! Rules as they are matched.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use globset::GlobMatcher;
use regex::Regex;

use super::facts::{Facts, File};
use super::{Fact, MOST_PATHS, Reason, RiskRule};
use crate::config::{glob_of, pattern_of, risk_rules};
use crate::patch::RelPath;

/// A rule with its patterns.
#[derive(Debug)]
pub(super) struct Compiled {
    rule: RiskRule,
    paths: Vec<GlobMatcher>,
    except: Vec<GlobMatcher>,
    lines: Option<Regex>,
}

/// The rules of `rules.toml`.
pub(super) static BUILT_IN: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let rules = risk_rules("rules.toml", include_str!("rules.toml")).expect("constant rules");
    rules.iter().map(|rule| Compiled::new(rule).expect("constant patterns")).collect()
});

/// Details that a reason names, at most.
const DETAILS: usize = 3;

impl Compiled {
    /// Compiles a rule.
    ///
    /// # Errors
    /// Says which pattern is wrong.
    pub(super) fn new(rule: &RiskRule) -> Result<Self, String> {
        let globs = |globs: &[String]| -> Result<Vec<_>, String> {
            globs.iter().map(|glob| glob_of(glob).map_err(|error| format!("{glob:?}: {error}"))).collect()
        };
        let lines = rule.lines.as_deref().map(pattern_of).transpose();
        Ok(Self {
            paths: globs(&rule.paths)?,
            except: globs(&rule.except)?,
            lines: lines.map_err(|_| format!("the pattern of {:?}", rule.id))?,
            rule: rule.clone(),
        })
    }

    /// What the rule says of the patch, if it speaks up.
    pub(super) fn reason(&self, facts: &Facts<'_>) -> Option<Reason> {
        let rule = &self.rule;
        let matching: Vec<&File<'_>> = facts.files.iter().filter(|file| self.matches(facts, file)).collect();
        let lines: u64 = matching.iter().map(|file| file.size).sum();
        let bounded = rule.more_than_files > 0 || rule.more_than_lines > 0;
        if matching.is_empty()
            || (bounded && matching.len() as u64 <= rule.more_than_files && rule.more_than_files > 0)
            || (bounded && lines <= rule.more_than_lines && rule.more_than_lines > 0)
        {
            return None;
        }
        let mut details = BTreeSet::new();
        for file in &matching {
            match (rule.fact, &rule.guard) {
                (Some(Fact::PublicItem), _) => details.extend(facts.lost(file).iter().cloned()),
                (_, Some(guard)) => details.extend(facts.findings(guard, file).map(str::to_owned)),
                _ => {}
            }
        }
        let told: Vec<String> = details.into_iter().take(DETAILS).collect();
        let told = if told.is_empty() { String::new() } else { format!(": {}", told.join("; ")) };
        let paths: Vec<RelPath> = matching.iter().map(|file| file.path.clone()).take(MOST_PATHS).collect();
        Some(Reason { rule: rule.id.clone(), risk: rule.risk, text: format!("{}{told}", rule.says), paths })
    }

    fn matches(&self, facts: &Facts<'_>, file: &File<'_>) -> bool {
        let rule = &self.rule;
        let named = self.paths.iter().any(|glob| glob.is_match(&file.folded))
            || rule.words.iter().any(|word| file.words.contains(word.as_str()));
        if !(named || rule.paths.is_empty() && rule.words.is_empty())
            || self.except.iter().any(|glob| glob.is_match(&file.folded))
        {
            return false;
        }
        self.lines.as_ref().is_none_or(|pattern| file.has_line(pattern))
            && rule.guard.as_ref().is_none_or(|guard| facts.findings(guard, file).next().is_some())
            && rule.fact.is_none_or(|fact| facts.holds(fact, file))
    }
}
