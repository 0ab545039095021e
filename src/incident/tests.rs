use super::*;
use crate::trace::{Frame, Language};
use proptest::prelude::*;

const FILES: &[&str] = &[
    "main.py",
    "shop/cart.py",
    "shop/stats/mean.py",
    "web/src/cart.ts",
    "java/com/acme/Cart.java",
    "src/lib.rs",
];

fn tracked() -> Tracked<'static> {
    Tracked::new("/srv/shop", FILES.iter().copied())
}

fn report(text: &str) -> Report {
    Report { stack_trace: text.to_owned(), ..Report::default() }
}

fn python(file: &str, line: u32, function: &str, raised: &str) -> String {
    format!(
        "Traceback (most recent call last):\n  File \"{file}\", line {line}, in {function}\n    x\n{raised}\n"
    )
}

#[test]
fn frames_are_found_wherever_the_program_ran() {
    let at = |file: &str| tracked().find(&Frame::new(file, 1, 0, "f"));
    for (printed, file) in [
        ("/srv/shop/shop/cart.py", "shop/cart.py"),
        ("/app/shop/cart.py", "shop/cart.py"),
        ("shop/cart.py", "shop/cart.py"),
        ("./shop/cart.py", "shop/cart.py"),
        ("cart.py", "shop/cart.py"),
        ("stats/mean.py", "shop/stats/mean.py"),
        ("file:///app/web/src/cart.ts", "web/src/cart.ts"),
        ("com/acme/Cart.java", "java/com/acme/Cart.java"),
        ("C:\\build\\shop\\cart.py", "shop/cart.py"),
    ] {
        assert_eq!(at(printed).as_deref(), Some(file), "{printed}");
    }
    for printed in [
        "/usr/lib/python3.12/json/main.py",
        "/opt/venv/lib/python3.12/site-packages/shop/cart.py",
        "/app/node_modules/x/src/lib.rs",
        "node:internal/main.py",
        "<frozen importlib._bootstrap>",
        "/app/other.py",
        "/root/.cargo/registry/src/x-1.0/src/lib.rs",
        "",
    ] {
        assert_eq!(at(printed), None, "{printed}");
    }
    // Two files end so: neither is meant for certain.
    let twice = Tracked::new("/r", ["a/x.py", "b/x.py"]);
    assert_eq!(twice.find(&Frame::new("x.py", 1, 0, "f")), None);
    assert_eq!(twice.find(&Frame::new("/app/b/x.py", 1, 0, "f")).as_deref(), Some("b/x.py"));
    let elsewhere = Tracked::unknown("/srv/shop");
    assert_eq!(elsewhere.find(&Frame::new("/srv/shop/a.py", 1, 0, "f")).as_deref(), Some("a.py"));
    assert_eq!(elsewhere.find(&Frame::new("/other/a.py", 1, 0, "f")), None);
    let told = Frame { in_app: Some(false), ..Frame::new("main.py", 1, 0, "f") };
    assert_eq!(tracked().find(&told), None);
}

#[test]
fn a_fault_of_this_code_is_told_from_one_outside() {
    let own = understand(
        &report(&python("/app/shop/cart.py", 7, "total", "ZeroDivisionError: division by zero")),
        &tracked(),
    );
    assert!(own.blame.own, "{own:?}");
    assert_eq!(own.blame.place.as_deref(), Some("shop/cart.py:7"));
    assert_eq!((own.class.category, own.class.severity), (Category::Bug, Severity::High));
    assert_eq!(own.title, "ZeroDivisionError: division by zero");
    for (raised, category) in [
        ("ConnectionRefusedError: [Errno 111] Connection refused", Category::Reliability),
        ("OSError: [Errno 28] No space left on device: '/data'", Category::Reliability),
        ("MemoryError", Category::Scalability),
        ("PermissionError: [Errno 13] Permission denied: '/etc/x'", Category::Governance),
        ("ssl.SSLCertVerificationError: certificate verify failed", Category::Governance),
    ] {
        let outside = understand(&report(&python("/app/shop/cart.py", 7, "total", raised)), &tracked());
        assert!(!outside.blame.own && outside.class.category == category, "{raised}: {outside:?}");
        assert_eq!(
            outside.blame.place.as_deref(),
            Some("shop/cart.py:7"),
            "where to look is known all the same"
        );
    }
    let package = understand(&report(&python("/usr/lib/python3/x.py", 7, "f", "KeyError: 1")), &tracked());
    assert!(!package.blame.own, "{package:?}");
    let none = understand(&Report { error: "it is slow: timed out".into(), ..Report::default() }, &tracked());
    assert_eq!((none.blame.own, none.class.category), (false, Category::Performance));
}

#[test]
fn what_an_own_call_led_to_is_found_behind_its_causes() {
    let chained = python("/app/shop/cart.py", 7, "total", "KeyError: 'price'")
        + "\nDuring handling of the above exception, another exception occurred:\n\n"
        + &python("/opt/site-packages/web.py", 70, "serve", "web.ServerError: failed");
    let understood = understand(&report(&chained), &tracked());
    assert_eq!(understood.blame.place.as_deref(), Some("shop/cart.py:7"));
    assert!(understood.blame.own);
}

#[test]
fn how_bad_it_is_depends_on_whether_the_program_ended() {
    let of = |fatal| {
        understand(&Report { fatal, ..report(&python("main.py", 1, "f", "ValueError: x")) }, &tracked())
    };
    assert_eq!(of(Some(false)).class.severity, Severity::Medium);
    assert_eq!(of(Some(true)).class.severity, Severity::High);
    let crash = understand(
        &report(
            "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n    #0 0x1 in f /app/src/lib.rs:3\n",
        ),
        &tracked(),
    );
    assert_eq!(crash.class.severity, Severity::Critical);
}

#[test]
fn the_fingerprint_holds_though_lines_addresses_and_folders_change() {
    let print = |text: &str| understand(&report(text), &tracked()).print;
    let first = print(&python("/app/shop/cart.py", 7, "total", "KeyError: 'a'"));
    assert_eq!(first, print(&python("/srv/shop/shop/cart.py", 90, "total", "KeyError: 'b'")));
    assert_eq!(first, print(&format!("noise\n{}more", python("shop/cart.py", 1, "total", "KeyError: 'c'"))));
    assert_ne!(first, print(&python("/app/shop/cart.py", 7, "mean", "KeyError: 'a'")));
    assert_ne!(first, print(&python("/app/shop/cart.py", 7, "total", "TypeError: 'a'")));
    assert_ne!(first, print(&python("/app/main.py", 7, "total", "KeyError: 'a'")));
    let rust = |line: u32, hash: &str, said: &str| {
        print(&format!(
            "thread 'main' panicked at src/lib.rs:{line}:1:\n{said}\nstack backtrace:\n   0: a::f::h{hash}\n             at ./src/lib.rs:{line}:1\n"
        ))
    };
    assert_eq!(
        rust(1, "0123456789abcdef", "no item 12345678"),
        rust(9, "fedcba9876543210", "no item 87654321")
    );
    assert_ne!(
        rust(1, "0123456789abcdef", "boom"),
        rust(1, "0123456789abcdef", "bang"),
        "a panic is told apart by what it says"
    );
}

#[test]
fn every_state_can_be_reached_and_is_read_as_it_is_written() {
    let acts = [
        Act::Seen,
        Act::Heal,
        Act::Wait,
        Act::Land,
        Act::Fail,
        Act::Quiet,
        Act::RollBack,
        Act::Ignore,
        Act::Open,
    ];
    let mut seen = vec![State::Open, State::Outside];
    let mut at = 0;
    while at < seen.len() {
        let here = seen[at];
        for next in acts.iter().filter_map(|act| here.after(*act)) {
            if !seen.contains(&next) {
                seen.push(next);
            }
        }
        at += 1;
    }
    for state in State::ALL {
        assert!(seen.contains(&state), "{state:?}");
        assert_eq!(State::parse(state.as_str()).unwrap(), state);
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        // Nothing lands of what no run works on, and nothing that people put aside comes back by itself.
        assert_eq!(
            state.after(Act::Land).is_some(),
            matches!(state, State::Healing | State::AwaitingApproval)
        );
        assert_eq!(state.after(Act::Seen).is_some(), matches!(state, State::Fixed | State::Closed));
    }
}

proptest! {
    #[test]
    fn any_text_is_understood(text in "(?s).{0,400}", error in ".{0,60}") {
        let understood = understand(&Report { error, ..report(&text) }, &tracked());
        prop_assert_eq!(understood.print.len(), 32);
        prop_assert!(!understood.title.is_empty());
    }

    #[test]
    fn the_fingerprint_does_not_depend_on_lines(one in 1u32..9999, two in 1u32..9999, language in 0usize..3) {
        let of = |line: u32| {
            let frame = |file: &str| Frame::new(file, line, line, "f");
            let languages = [Language::Python, Language::Node, Language::Go];
            let mut trace = Trace::new(languages[language], "KeyError", "k");
            trace.frames = vec![frame("/x/site-packages/a.py"), frame("/app/shop/cart.py")];
            understand(&Report { trace: Some(trace), ..Report::default() }, &tracked()).print
        };
        prop_assert_eq!(of(one), of(two));
    }
}
