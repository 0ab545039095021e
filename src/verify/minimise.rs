//! Finds a small part of a patch that is still green: delta debugging, bounded.

use anyhow::Result;

/// A subset of `parts` for which `holds` is true, from which no single part can be taken (as far as `most` calls of `holds` reach).
/// All of `parts` together are taken to hold and are not tried. The order is kept.
///
/// The algorithm is `ddmin` of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (IEEE Transactions on Software
/// Engineering 28(2), 2002), over complements only: what is left must itself hold.
///
/// # Errors
/// The first error of `holds`.
pub async fn minimise<T: Clone + PartialEq>(
    parts: &[T],
    most: usize,
    mut holds: impl AsyncFnMut(&[T]) -> Result<bool>,
) -> Result<Vec<T>> {
    let mut kept = parts.to_vec();
    let mut pieces = 2;
    let mut calls = 0;
    while kept.len() >= 2 {
        let size = kept.len().div_ceil(pieces);
        let mut smaller = None;
        for start in (0..kept.len()).step_by(size) {
            if calls == most {
                return Ok(kept);
            }
            let rest: Vec<T> = kept
                .iter()
                .enumerate()
                .filter(|(at, _)| !(start..start + size).contains(at))
                .map(|(_, part)| part.clone())
                .collect();
            calls += 1;
            if !rest.is_empty() && holds(&rest).await? {
                smaller = Some(rest);
                break;
            }
        }
        match smaller {
            Some(rest) => {
                kept = rest;
                pieces = (pieces - 1).max(2);
            }
            None if size == 1 => break,
            None => pieces = (pieces * 2).min(kept.len()),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    proptest! {
        #[test]
        fn finds_exactly_what_is_needed(len in 2usize..12, needed in proptest::collection::btree_set(0usize..12, 1..4)) {
            let needed: Vec<usize> = needed.into_iter().filter(|at| *at < len).collect();
            prop_assume!(!needed.is_empty());
            let parts: Vec<usize> = (0..len).collect();
            let found = block_on(minimise(&parts, usize::MAX, async |subset: &[usize]| {
                Ok(needed.iter().all(|part| subset.contains(part)))
            })).expect("holds never fails");
            prop_assert_eq!(found, needed);
        }

        #[test]
        fn what_is_left_always_holds_however_few_calls(len in 2usize..12, most in 0usize..6) {
            let parts: Vec<usize> = (0..len).collect();
            let mut calls = 0;
            let found = block_on(minimise(&parts, most, async |subset: &[usize]| {
                calls += 1;
                Ok(subset.contains(&0) && subset.len() >= 2)
            })).expect("holds never fails");
            prop_assert!(calls <= most);
            prop_assert!(found.contains(&0) && found.len() >= 2);
        }
    }
}
