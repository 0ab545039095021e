//! Real breakages of a small package, healed by the search with its own tests as the judge.

use super::super::testing::{Bench, Project, check, outcome};
use super::*;

const FILES: &[(&str, &str)] = &[
    ("shop/__init__.py", "from shop.cart import Cart\n\n__all__ = [\"Cart\"]\n"),
    (
        "shop/cart.py",
        "import json\nimport math\nfrom dataclasses import dataclass, field\n\nfrom shop.prices import discount, total\n\n\n@dataclass\nclass Line:\n    name: str\n    price: float\n    count: int = 1\n\n\n@dataclass\nclass Cart:\n    lines: list = field(default_factory=list)\n\n    def add(self, name, price, count=1):\n        self.lines.append(Line(name=name, price=price, count=count))\n        return self\n\n    def sum(self, percent=0):\n        amounts = [line.price * line.count for line in self.lines]\n        if percent > 0:\n            return discount(total(amounts), percent=percent)\n        return total(amounts)\n\n    def dump(self):\n        data = {\"lines\": [line.name for line in self.lines], \"sum\": self.sum()}\n        return json.dumps(data)\n\n    def rounded(self):\n        return math.ceil(self.sum())\n\n    def label(self):\n        return f\"{len(self.lines)} lines, {self.sum()} in all\"\n",
    ),
    (
        "shop/prices.py",
        "\"\"\"What things cost.\"\"\"\n\n\ndef total(amounts):\n    result = 0\n    for amount in amounts:\n        result += amount\n    return result\n\n\ndef discount(amount, percent):\n    factor = (100 - percent) / 100\n    return amount * factor\n",
    ),
    (
        "test_shop.py",
        "import unittest\n\nfrom shop import Cart\n\n\nclass CartTest(unittest.TestCase):\n    def setUp(self):\n        self.cart = Cart().add(\"nail\", 0.5, count=4).add(\"hammer\", 10)\n\n    def test_sum(self):\n        self.assertEqual(self.cart.sum(), 12)\n        self.assertEqual(self.cart.sum(percent=50), 6)\n\n    def test_dump(self):\n        self.assertEqual(self.cart.dump(), '{\"lines\": [\"nail\", \"hammer\"], \"sum\": 12.0}')\n\n    def test_rounded(self):\n        self.assertEqual(self.cart.rounded(), 12)\n\n    def test_label(self):\n        self.assertEqual(self.cart.label(), \"2 lines, 12.0 in all\")\n",
    ),
];

const BENCH: Bench = Bench {
    files: FILES,
    goal: "python3 -m unittest -q",
    said: "Traceback (most recent call last):",
    language: |check, red, _| Some(Box::new(Python::of(check, red)?)),
    prepare: |_| true,
};

#[tokio::test]
async fn a_misspelt_variable() {
    BENCH.healed(&[("shop/prices.py", "return result", "return reslut")]).await;
}

#[tokio::test]
async fn two_misspellings_in_two_files() {
    BENCH
        .healed(&[
            ("shop/prices.py", "return amount * factor", "return amount * facotr"),
            ("shop/cart.py", "json.dumps(data)", "json.dumps(dta)"),
        ])
        .await;
}

#[tokio::test]
async fn a_dropped_import_of_a_module() {
    BENCH.healed(&[("shop/cart.py", "import math\n", "")]).await;
}

#[tokio::test]
async fn a_dropped_name_of_an_import() {
    BENCH.healed(&[("shop/cart.py", "import discount, total", "import discount")]).await;
}

#[tokio::test]
async fn a_dropped_import_of_names() {
    BENCH.healed(&[("shop/cart.py", "from dataclasses import dataclass, field\n", "")]).await;
}

#[tokio::test]
async fn a_dropped_self() {
    BENCH
        .healed(&[
            ("shop/cart.py", "math.ceil(self.sum())", "math.ceil(total())"),
            ("shop/cart.py", "ceil(total())", "ceil(self.sm())"),
        ])
        .await;
}

#[tokio::test]
async fn a_method_without_self() {
    BENCH.healed(&[("shop/cart.py", "def rounded(self):", "def rounded():")]).await;
}

#[tokio::test]
async fn a_misspelt_attribute() {
    BENCH.healed(&[("shop/cart.py", "line.price * line.count", "line.price * line.cuont")]).await;
}

#[tokio::test]
async fn a_misspelt_keyword_argument() {
    BENCH.healed(&[("shop/cart.py", "percent=percent)", "precent=percent)")]).await;
}

#[tokio::test]
async fn a_renamed_function_gets_its_name_back() {
    BENCH.healed(&[("shop/prices.py", "def discount(", "def discounted(")]).await;
}

#[tokio::test]
async fn a_misspelt_module() {
    BENCH.healed(&[("shop/cart.py", "from shop.prices", "from shop.price")]).await;
}

#[tokio::test]
async fn a_dropped_colon_and_a_dropped_bracket() {
    BENCH
        .healed(&[
            ("shop/cart.py", "if percent > 0:", "if percent > 0"),
            ("shop/prices.py", "(100 - percent) / 100", "(100 - percent / 100"),
        ])
        .await;
}

#[tokio::test]
async fn a_string_without_its_end() {
    BENCH.healed(&[("shop/cart.py", "in all\"", "in all")]).await;
}

#[tokio::test]
async fn a_string_without_its_beginning() {
    BENCH.healed(&[("shop/cart.py", "{\"lines\": [", "{lines\": [")]).await;
}

#[tokio::test]
async fn a_block_without_indentation() {
    BENCH.healed(&[("shop/prices.py", "        result += amount", "    result += amount")]).await;
}

#[tokio::test]
async fn an_indentation_that_no_block_has() {
    BENCH.healed(&[("shop/cart.py", "        return total(amounts)", "       return total(amounts)")]).await;
    BENCH.healed(&[("shop/prices.py", "    return result", "   return result")]).await;
}

#[test]
fn one_odd_problem_hides_no_other() {
    let mut survey = serde_json::json!({"modules": {}, "classes": {}, "functions": {}, "imports": [], "stdlib": [],
        "installed": [], "builtins": [], "strings": [], "attributes": {}});
    survey["problems"] = serde_json::json!([
        {"kind": "syntax", "file": "a.py", "line": 1, "column": -1},
        {"kind": "syntax", "file": "b.py", "line": 2, "column": 1},
    ]);
    let survey: Survey = serde_json::from_value(survey).unwrap();
    assert_eq!(survey.problems.len(), 1);
    assert_eq!(survey.problems[0].file, "b.py");
}

#[tokio::test]
async fn a_misspelt_function_of_the_standard_library() {
    BENCH.healed(&[("shop/cart.py", "math.ceil(", "math.ciel(")]).await;
    BENCH.healed(&[("shop/cart.py", "json.dumps(", "json.dmps(")]).await;
}

#[tokio::test]
async fn a_misspelt_module_of_the_same_package() {
    let files = [
        ("pkg/__init__.py", "from ._legcy import g\n"),
        ("pkg/_legacy.py", "def g():\n    return 1\n"),
        (
            "test_pkg.py",
            "import unittest\nimport pkg\n\n\nclass T(unittest.TestCase):\n    def test_g(self):\n        self.assertEqual(pkg.g(), 1)\n",
        ),
    ];
    let project = Project::new(&files);
    let red = outcome("Traceback (most recent call last):");
    let mut python = Python::of(&check("python3 -m unittest -q"), &red).unwrap();
    let found = project.heal(&mut python).await;
    assert_eq!(project.after(&found.patch, "pkg/__init__.py"), "from ._legacy import g\n", "{}", found.end);
}

#[tokio::test]
async fn a_name_whose_import_is_repaired_is_not_imported_twice() {
    let right = "import heapq\n\nfrom pkg.utils import no_default\n\n\ndef largest(count, items, default=no_default):\n    found = heapq.nlargest(count, items)\n    if not found and default is not no_default:\n        return default\n    return found\n";
    let broken = right.replace("import heapq\n\n", "").replace("import no_default", "import no_defalt");
    let files = [
        ("pkg/__init__.py", "from .core import largest\nfrom .utils import no_default\n"),
        ("pkg/core.py", broken.as_str()),
        ("pkg/utils.py", "no_default = object()\n"),
        (
            "test_pkg.py",
            "import unittest\nimport pkg\n\n\nclass T(unittest.TestCase):\n    def test_largest(self):\n        self.assertEqual(pkg.largest(1, [1, 2]), [2])\n        self.assertEqual(pkg.largest(1, [], 3), 3)\n",
        ),
    ];
    let project = Project::new(&files);
    let red = outcome("Traceback (most recent call last):");
    let mut python = Python::of(&check("python3 -m unittest -q"), &red).unwrap();
    let found = project.heal(&mut python).await;
    assert_eq!(project.after(&found.patch, "pkg/core.py"), right, "{:#?}", found.steps);
}

#[tokio::test]
async fn a_misspelt_keyword() {
    BENCH.healed(&[("shop/prices.py", "    return result", "    retrun result")]).await;
}

#[tokio::test]
async fn a_wrong_result_is_left_alone() {
    BENCH.left_alone(&[("shop/prices.py", "100 - percent", "100 + percent")]).await;
}

#[test]
fn the_interpreter_is_the_one_of_the_check() {
    let of = |line: &str| interpreter(&CommandLine::Shell(line.into())).join(" ");
    assert_eq!(of("pytest -q"), "python3");
    assert_eq!(of("python3.12 -m pytest"), "python3.12");
    assert_eq!(of(".venv/bin/pytest -q"), ".venv/bin/python");
    assert_eq!(of("uv run pytest"), "uv run python");
}

#[test]
fn tracebacks_of_both_styles_are_read() {
    let project = Project::new(&[("a.py", "import b\nb.go()\n"), ("b.py", "def go():\n    return nam\n")]);
    let root = project.tree.path().canonicalize().unwrap();
    let patch = Patch::new();
    let tree = Tree { root: &root, patch: &patch };
    let native = format!(
        "Traceback (most recent call last):\n  File \"{0}/a.py\", line 2, in <module>\n    b.go()\n  File \"{0}/b.py\", line 2, in go\n    return nam\nNameError: name 'nam' is not defined\n",
        root.display()
    );
    let short = "    def go():\n>       return nam\nE       NameError: name 'nam' is not defined\n\nb.py:2: NameError\n";
    for text in [native.as_str(), short] {
        let found = traceback::findings(text, &root, "", tree);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0].code, "NameError");
        assert_eq!(found[0].file.as_ref().unwrap().as_str(), "b.py");
        assert_eq!(found[0].span, (21, 24));
    }
    assert_eq!(traceback::failures("=== 2 failed, 3 passed, 1 error in 0.1s ===\n"), Some(3));
    assert_eq!(traceback::failures("FAILED (failures=1, errors=2)\n"), Some(3));
}
