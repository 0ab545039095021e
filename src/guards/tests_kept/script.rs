//! The tests of JavaScript and TypeScript: calls that declare one (jest, vitest, mocha, node:test, Deno, QUnit, Playwright).

use tree_sitter::Node;

use super::super::syntax::walk;
use super::inventory::{Found, Seen};

pub(super) fn script(found: &mut Found<'_>) {
    let mut cases = Vec::new();
    // Suites around the current node: where they end, their name, and whether they are skipped or the only ones.
    let mut suites: Vec<(usize, Call)> = Vec::new();
    // Blocks around it that may not be run.
    let mut held_back: Vec<usize> = Vec::new();
    walk(found.tree, &mut |node| {
        suites.retain(|(end, _)| node.start_byte() < *end);
        held_back.retain(|end| node.start_byte() < *end);
        if matches!(node.kind(), "if_statement" | "function_declaration" | "ternary_expression") {
            held_back.push(node.end_byte());
        }
        let Some(call) = Call::read(node, found.text) else { return true };
        if call.suite {
            suites.push((node.end_byte(), call));
            return true;
        }
        let scope: Vec<String> = suites.iter().map(|(_, suite)| suite.name.clone()).collect();
        let skipped = call.skipped || !held_back.is_empty() || suites.iter().any(|(_, suite)| suite.skipped);
        let focused = call.focused || suites.iter().any(|(_, suite)| suite.focused);
        cases.push(Seen { scope, name: call.name, range: node.byte_range(), skipped, focused });
        false
    });
    cases.into_iter().for_each(|case| found.add(case));
}

/// A call that declares a test or a suite.
struct Call {
    name: String,
    suite: bool,
    skipped: bool,
    focused: bool,
}

impl Call {
    fn read(node: Node<'_>, text: &str) -> Option<Self> {
        if node.kind() != "call_expression" {
            return None;
        }
        let function = node.child_by_field_name("function")?;
        let head = text.get(function.byte_range())?.split(['(', '`', '\n']).next()?;
        let mut parts = head.split('.').map(str::trim);
        let base = parts.next()?;
        let modifiers: Vec<&str> = parts.collect();
        let suite = matches!(base, "describe" | "suite" | "context" | "xdescribe" | "fdescribe" | "xcontext")
            || modifiers.contains(&"describe");
        let test = matches!(base, "it" | "test" | "specify" | "xit" | "xtest" | "fit" | "xspecify")
            || head.starts_with("Deno.test")
            || head.starts_with("QUnit.test");
        if !suite && !test {
            return None;
        }
        const KNOWN: &[&str] = &[
            "only",
            "skip",
            "todo",
            "concurrent",
            "sequential",
            "each",
            "for",
            "failing",
            "fails",
            "skipIf",
            "runIf",
            "describe",
            "serial",
            "parallel",
            "fixme",
            "fail",
            "shuffle",
            "test",
            "cb",
        ];
        if !modifiers.iter().all(|modifier| KNOWN.contains(modifier)) {
            return None;
        }
        // `test.each(table)` alone is no test: what it gives is called with the name.
        if function.kind() == "member_expression"
            && matches!(modifiers.last(), Some(&("each" | "for" | "skipIf" | "runIf")))
        {
            return None;
        }
        let first = node.child_by_field_name("arguments")?.named_child(0)?;
        let name = match first.kind() {
            "string" | "template_string" => text.get(first.byte_range())?.trim_matches(['"', '\'', '`']),
            // `test.skip()` within a test, or a title that is computed.
            "identifier" | "binary_expression" | "member_expression"
                if node.child_by_field_name("arguments")?.named_child_count() > 1 =>
            {
                text.get(first.byte_range())?
            }
            _ => return None,
        };
        let has = |words: &[&str]| modifiers.iter().any(|modifier| words.contains(modifier));
        Some(Self {
            name: name.chars().take(200).collect(),
            suite,
            skipped: base.starts_with('x')
                || has(&["skip", "todo", "skipIf", "runIf", "failing", "fails", "fixme", "fail"]),
            focused: matches!(base, "fit" | "fdescribe") || has(&["only"]),
        })
    }
}
