//! The nearest names: what somebody may have meant who wrote a name that nothing has.

use std::collections::{BTreeMap, BTreeSet};

/// How far `name` lies from `wanted`, smaller is nearer; `None` where it is too far to be a misspelling.
///
/// 1 is the same but for case and underscores; 10 times the edit distance else, less a little where both start alike; 60 and more
/// where one has the other's words in it.
pub(super) fn distance(wanted: &str, name: &str) -> Option<u32> {
    if wanted == name || name.is_empty() || wanted.len() > 200 || name.len() > 200 {
        return None;
    }
    if plain(wanted) == plain(name) {
        return Some(1);
    }
    let edits = strsim::osa_distance(wanted, name) as u32;
    let length = wanted.chars().count().max(name.chars().count()) as u32;
    let most = match length {
        0..=1 => 0,
        2..=4 => 1,
        5..=8 => 2,
        _ => length / 3,
    };
    if edits <= most {
        let alike = wanted.chars().zip(name.chars()).take_while(|(a, b)| a == b).count() as u32;
        return Some(10 * edits - alike.min(5));
    }
    words_apart(wanted, name)
}

/// Names of several words where words were left out, added or swapped.
fn words_apart(wanted: &str, name: &str) -> Option<u32> {
    let (a, b) = (words(wanted), words(name));
    if a.is_empty() || b.is_empty() || (a.len() == 1 && b.len() == 1) {
        return prefix_apart(wanted, name);
    }
    let common = a.intersection(&b).count();
    let longest = a.len().max(b.len());
    let letters: usize = a.intersection(&b).map(String::len).sum();
    // Half of the words and four letters in common: `get_user` and `user`, `parseJson` and `jsonParse`.
    (common * 2 >= longest && letters >= 4).then(|| 60 + 10 * (longest - common) as u32)
}

fn prefix_apart(wanted: &str, name: &str) -> Option<u32> {
    let (short, long) = if wanted.len() < name.len() { (wanted, name) } else { (name, wanted) };
    (short.len() >= 3 && short.len() * 2 > long.len() && (long.starts_with(short) || long.ends_with(short)))
        .then_some(80)
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_' && *c != '-').flat_map(char::to_lowercase).collect()
}

/// The words of a name in snake, camel or kebab case, in lower case.
fn words(name: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut word = String::new();
    let mut lower_before = false;
    for c in name.chars() {
        if c == '_' || c == '-' || (c.is_uppercase() && lower_before) {
            all.insert(std::mem::take(&mut word));
        }
        lower_before = c.is_lowercase() || c.is_numeric();
        if c != '_' && c != '-' {
            word.extend(c.to_lowercase());
        }
    }
    all.insert(word);
    all.remove("");
    all
}

/// The nearest of `names` to `wanted`, nearest first, at most `most`, each with its distance; `bonus` is taken off a name's
/// distance (the sure signs that it was meant). Names at one distance are in alphabetical order.
pub(super) fn nearest<'a>(
    wanted: &str,
    names: impl IntoIterator<Item = (&'a str, u32)>,
    most: usize,
) -> Vec<(String, u32)> {
    let mut best: BTreeMap<&str, u32> = BTreeMap::new();
    for (name, bonus) in names {
        if let Some(far) = distance(wanted, name) {
            let far = far.saturating_sub(bonus);
            best.entry(name).and_modify(|was| *was = far.min(*was)).or_insert(far);
        }
    }
    let mut all: Vec<(String, u32)> = best.into_iter().map(|(name, far)| (name.to_owned(), far)).collect();
    all.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(wanted: &str, names: &[&str]) -> Option<String> {
        nearest(wanted, names.iter().map(|name| (*name, 0)), 5).into_iter().next().map(|(name, _)| name)
    }

    #[test]
    fn misspellings_find_their_name() {
        assert_eq!(first("lenght", &["length", "weight", "height"]).as_deref(), Some("length"));
        assert_eq!(first("get_user_name", &["getUserName", "get_user"]).as_deref(), Some("getUserName"));
        assert_eq!(first("comput", &["compute", "computer", "commit"]).as_deref(), Some("compute"));
        assert_eq!(first("fetch_user", &["user_fetch", "patch_order"]).as_deref(), Some("user_fetch"));
    }

    #[test]
    fn unrelated_names_are_not_offered() {
        assert_eq!(first("x", &["y", "z"]), None);
        assert_eq!(first("id", &["to", "add"]), None);
        assert_eq!(first("configure", &["serialize", "transport"]), None);
        assert_eq!(first("same", &["same"]), None);
    }

    #[test]
    fn ties_are_in_a_fixed_order_and_a_bonus_breaks_them() {
        let names = [("cast", 0), ("cost", 0)];
        assert_eq!(nearest("cust", names, 5)[0].0, "cast");
        assert_eq!(nearest("cust", [("cast", 0), ("cost", 3)], 5)[0].0, "cost");
    }
}
