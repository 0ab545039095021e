//! What is known of a patch's files.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::Fact;
use crate::guards::{Finding, Limits, Proposed, inspect, lost};
use crate::patch::{Change, Patch, RelPath, Tree};

/// Bytes that count as a line: a patch is not small because its lines are long.
const LINE: usize = 160;

/// The name of the package that Regreen is.
const OWN: &str = env!("CARGO_PKG_NAME");

/// A changed file.
#[derive(Debug)]
pub(super) struct File<'p> {
    pub path: &'p RelPath,
    change: &'p Change,
    /// The path as a file system may read it that knows no case, no invisible characters, and one spelling of each character.
    pub folded: String,
    /// The words of the path, in small letters.
    pub words: BTreeSet<String>,
    /// Lines that are added and removed, a long one as several; of a binary file what its bytes would be.
    pub size: u64,
    lost: OnceCell<Vec<String>>,
}

/// A patch with what is known of it.
#[derive(Debug)]
pub(super) struct Facts<'p> {
    pub files: Vec<File<'p>>,
    tree: Tree<'p>,
    findings: Vec<Finding>,
}

impl<'p> Facts<'p> {
    pub(super) fn new(tree: Tree<'p>, patch: &'p Patch) -> Self {
        // How big a patch may be is a rule's business here, and whatever a ticket asks to change is still a changed test.
        let limits = Limits { files: usize::MAX, lines: usize::MAX, bytes: usize::MAX };
        let findings = inspect(&Proposed { limits, ..Proposed::new(tree, patch) });
        Self { files: patch.iter().map(|(path, change)| File::new(path, change)).collect(), tree, findings }
    }

    /// What a guard says of a file.
    pub(super) fn findings(&self, guard: &str, file: &File<'_>) -> impl Iterator<Item = &str> {
        let about = move |finding: &&Finding| finding.guard == guard && finding.path == *file.path;
        self.findings.iter().filter(about).map(|finding| finding.reason.as_str())
    }

    /// What others may use of a file and would miss.
    pub(super) fn lost<'f>(&self, file: &'f File<'_>) -> &'f [String] {
        file.lost.get_or_init(|| lost(file.path, file.change))
    }

    pub(super) fn holds(&self, fact: Fact, file: &File<'_>) -> bool {
        match fact {
            Fact::OwnCode => self.is_own(file.path),
            Fact::PublicItem => !self.lost(file).is_empty(),
            Fact::Removed => file.change.after.is_none(),
            Fact::MixedName => {
                file.change.before.is_none() && file.path.as_str().split('/').any(mixes_scripts)
            }
        }
    }

    /// Whether a folder above the file is Regreen's package, before the patch.
    fn is_own(&self, path: &RelPath) -> bool {
        let mut folder = path.parent();
        loop {
            let manifest = match &folder {
                Some(folder) => format!("{folder}/Cargo.toml"),
                None => "Cargo.toml".to_owned(),
            };
            let named = RelPath::new(&manifest).ok().and_then(|manifest| self.tree.read_text(&manifest));
            if named.is_some_and(|text| is_own_manifest(&text)) {
                return true;
            }
            let Some(above) = folder else { return false };
            folder = above.parent();
        }
    }
}

fn is_own_manifest(text: &str) -> bool {
    let Ok(manifest) = text.parse::<toml::Table>() else { return false };
    manifest.get("package").and_then(|package| package.get("name")?.as_str()) == Some(OWN)
}

impl<'p> File<'p> {
    fn new(path: &'p RelPath, change: &'p Change) -> Self {
        let folded = folded(path.as_str());
        let (words, lost) = (words(path.as_str()), OnceCell::new());
        Self { path, change, folded, words, size: size(change), lost }
    }

    /// Whether an added or removed line has the pattern.
    pub(super) fn has_line(&self, pattern: &Regex) -> bool {
        match self.change.lines() {
            Some((removed, added)) => removed.iter().chain(&added).any(|line| pattern.is_match(line)),
            None => {
                let sides = [&self.change.before, &self.change.after].into_iter().flatten();
                sides.into_iter().any(|file| pattern.is_match(&String::from_utf8_lossy(&file.bytes)))
            }
        }
    }
}

fn size(change: &Change) -> u64 {
    let of_bytes = |bytes: usize| bytes.div_ceil(LINE).max(1) as u64;
    match change.lines() {
        Some((removed, added)) => removed.iter().chain(&added).map(|line| of_bytes(line.len())).sum(),
        None => {
            let sides = [&change.before, &change.after].into_iter().flatten();
            sides.map(|file| of_bytes(file.bytes.len())).sum()
        }
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// A path in small letters, each character in its plainest spelling, each part without what some file systems take off.
fn folded(path: &str) -> String {
    let plain = |part: &str| {
        let seen = part.chars().filter(|c| !is_invisible(*c)).nfkc();
        let small: String = seen.flat_map(char::to_lowercase).collect();
        let short = small.trim_end_matches(['.', ' ']);
        // What only looks like a separator is none.
        if short.is_empty() { small.clone() } else { short.to_owned() }.replace('/', "_")
    };
    path.split('/').map(plain).collect::<Vec<_>>().join("/")
}

/// The words of a path: those between signs, and where letters go from small to capital.
fn words(path: &str) -> BTreeSet<String> {
    let plain: String = path.chars().filter(|c| !is_invisible(*c)).nfkc().collect();
    let mut words = BTreeSet::new();
    for part in plain.split(|c: char| !c.is_alphabetic()).filter(|part| !part.is_empty()) {
        words.insert(part.to_lowercase());
        let letters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (at, &letter) in letters.iter().enumerate() {
            let after_small = at > 0 && !letters[at - 1].is_uppercase();
            let before_small = letters.get(at + 1).is_some_and(|next| !next.is_uppercase());
            if letter.is_uppercase() && at > 0 && (after_small || before_small) {
                words.insert(std::mem::take(&mut word));
            }
            word.extend(letter.to_lowercase());
        }
        words.insert(word);
    }
    words.remove("");
    words
}

/// Whether a word of a part of a path has both Latin letters and others.
fn mixes_scripts(part: &str) -> bool {
    // An accent on a Latin letter is no other script.
    let bare: String = part.nfd().filter(|c| !is_combining_mark(*c)).collect();
    let mixes = |word: &str| {
        let is_latin = |c: char| c <= LAST_LATIN;
        word.chars().any(is_latin) && !word.chars().all(is_latin)
    };
    bare.split(|c: char| !c.is_alphabetic()).any(mixes)
}

/// The last letter of Unicode's first blocks, which are all Latin.
const LAST_LATIN: char = '\u{24f}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_the_most_lenient_file_system_reads_it() {
        assert_eq!(folded(".GitHub/Workflows/CI.yml"), ".github/workflows/ci.yml");
        assert_eq!(folded(".git\u{200d}hub/work\u{ad}flows/a.yml"), ".github/workflows/a.yml");
        assert_eq!(folded(".ｇithub/workﬂows /a.yml."), ".github/workflows/a.yml");
        assert_eq!(folded("a/…/b"), "a/.../b");
    }

    #[test]
    fn the_words_of_a_path() {
        let has = |path: &str, word: &str| words(path).contains(word);
        for path in [
            "src/AuthService.java",
            "src/auth/x.rs",
            "userAuth.ts",
            "HTTPAuth.go",
            "aUtH.rs",
            "AUTH_x",
            "ａuth.py",
        ] {
            assert!(has(path, "auth"), "{path}: {:?}", words(path));
        }
        for path in ["src/author.rs", "authority/x", "oauthor.ts"] {
            assert!(!has(path, "auth"), "{path}");
        }
    }

    #[test]
    fn names_that_mix_scripts() {
        assert!(mixes_scripts("\u{430}uth.rs"), "a Cyrillic letter that looks like a Latin one");
        for honest in ["naïve.rs", "straße.rs", "日本.rs", "auth.rs", "пример.py"] {
            assert!(!mixes_scripts(honest), "{honest}");
        }
    }
}
