//! `heal` with an external agent: a program that works in the sandbox, whose word counts for nothing.

use std::net::TcpListener;

use crate::project::{Project, Ran};
use crate::scripted::{HEAL, SHOP, SHOP_RIGHT, TESTS, shop};

/// The shop with `script` (Python) as its only agent, and more lines for its provider.
fn with_agent(script: &str, more: &str) -> Project {
    let project = shop();
    let script = serde_json::to_string(script).expect("a string");
    project.configure(&format!(
        "[sandbox]\nprivate_registries = true\n[providers.mine]\nkind = \"command\"\n\
         command = [\"python3\", \"-c\", {script}, \"{{prompt_file}}\"]\n{more}\n\
         [[ladder]]\nfixer = \"agent\"\nprovider = \"mine\"\n"
    ));
    project
}

/// Writes the right shop.
const REPAIR: &str = "\nopen('shop.py', 'w').write('def total(prices, discount=0):\\n    return sum(prices) * (100 - discount) / 100\\n')\n";

fn said(ran: &Ran) -> String {
    format!("{}\n{}", ran.stdout, ran.stderr)
}

#[test]
fn what_an_agent_leaves_is_proven_and_lands() {
    let script = format!(
        "import os, sys\n\
         asked = open(sys.argv[1]).read()\n\
         assert sys.stdin.read() == asked\n\
         assert 'test_discount' in asked and 'return sum(prices)' in asked and 'never a repair' in asked\n\
         os.makedirs('__pycache__', exist_ok=True)\n\
         open('__pycache__/left', 'w').write('junk')\n{REPAIR}\
         print('Looking at it.')\nprint('The discount was never taken off.')\n"
    );
    let project = with_agent(&script, "");
    let ran = project.regreen(HEAL).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    assert!(!project.root.join("__pycache__/left").exists(), "what git ignores is no part of a repair");
    assert!(said(&ran).contains("agent(mine)"), "{}", said(&ran));
    assert!(said(&ran).contains("The discount was never taken off."), "{}", said(&ran));
}

#[test]
fn a_claim_is_no_proof() {
    for (script, why) in [
        ("print('All tests pass.')", "changed nothing"),
        ("import os; os.remove('test_shop.py'); print('All tests pass.')", "refused"),
        ("open('shop.py', 'a').write('# repaired\\n'); print('All tests pass.')", "red"),
        ("import sys; print('no credit'); sys.exit(3)", "exited with 3"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
    ] {
        let project = with_agent(script, "");
        let ran = project.regreen(HEAL).expect(1);
        assert_eq!((project.read("shop.py"), project.read("test_shop.py")), (SHOP.into(), TESTS.into()));
        let log = project.regreen(&["show", "last"]).expect(0);
        assert!(said(&ran).contains(why) || said(&log).contains(why), "{why}: {} {}", said(&ran), said(&log));
    }
}

#[test]
fn an_agent_that_does_not_end_is_ended_and_what_it_left_is_judged() {
    let script =
        format!("{REPAIR}\nimport time\nprint('still at it', flush=True)\nwhile True: time.sleep(60)\n");
    let project = with_agent(&script, "timeout = \"2s\"");
    project.regreen(HEAL).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
}

/// Tells in the explanation what it can reach: the proxy's answer for each place, and a connection past it.
const PROBE: &str = r#"
import os, socket, urllib.parse
def through(place):
    try:
        proxy = urllib.parse.urlsplit(os.environ['HTTPS_PROXY'])
        with socket.create_connection((proxy.hostname, proxy.port), 5) as s:
            s.sendall(f'CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n'.encode())
            return s.recv(64).split(b' ')[1].decode()
    except (OSError, KeyError, IndexError) as error:
        return type(error).__name__
def past(place):
    host, port = place.rsplit(':', 1)
    try:
        socket.create_connection((host, int(port)), 5).close()
        return 'connected'
    except OSError:
        return 'no way'
"#;

#[test]
fn an_agent_reaches_what_it_was_given_and_nothing_else() {
    let allowed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let [allowed, other] =
        [&allowed, &other].map(|l| format!("localhost:{}", l.local_addr().expect("one").port()));
    let script = format!(
        "{PROBE}{REPAIR}\nprint('allowed', through('{allowed}'), 'other', through('{other}'), 'past', past('{allowed}'))\n\
         print('given', os.environ.get('GIVEN_TO_IT'), 'kept', os.environ.get('KEPT_KEY'))\n"
    );
    let more = format!("hosts = [\"{allowed}\"]\npass_env = [\"GIVEN_TO_IT\"]");
    let mut project = with_agent(&script, &more);
    project.env.insert("GIVEN_TO_IT".into(), "given-4711-key".into());
    project.env.insert("KEPT_KEY".into(), "kept-4711-key".into());
    let ran = project.regreen(HEAL).expect(0);
    let told = said(&ran);
    assert!(told.contains("allowed 200 other 403 past no way"), "{told}");
    // It has the one that it was given, which nobody is told.
    assert!(told.contains("given [redacted]") && told.contains("kept None"), "{told}");

    let closed = with_agent(&script, "");
    let told = said(&closed.regreen(HEAL).expect(0));
    assert!(told.contains("allowed KeyError other KeyError past no way"), "{told}");
}

#[test]
fn a_key_that_was_given_to_an_agent_does_not_land() {
    let script = format!("import os{REPAIR}open('notes.txt', 'w').write(os.environ['GIVEN_TO_IT'])\n");
    let mut project = with_agent(&script, "pass_env = [\"GIVEN_TO_IT\"]");
    project.env.insert("GIVEN_TO_IT".into(), "given-4711-key".into());
    project.regreen(HEAL).expect(1);
    assert_eq!(project.read("shop.py"), SHOP);
    let log = said(&project.regreen(&["show", "last"]).expect(0));
    assert!(log.contains("the value of a variable"), "{log}");
    assert!(!log.contains("given-4711-key"), "{log}");
}

#[test]
fn an_agent_that_cannot_work_is_told_with_what_to_do() {
    for (provider, exit, why) in [
        ("kind = \"command\"\ncommand = [\"no-such-agent\"]", 1, "no-such-agent"),
        ("kind = \"command\"\ncommand = [\"true\"]\npass_env = [\"LD_PRELOAD\"]", 2, "pass_env"),
        ("kind = \"command\"\ncommand = [\"true\"]\nhosts = [\"no host\"]", 2, "is no host"),
        ("kind = \"acp\"\ncommand = [\"true\"]", 2, "cannot drive"),
    ] {
        let project = shop();
        project.configure(&format!(
            "[providers.mine]\n{provider}\n[[ladder]]\nfixer = \"agent\"\nprovider = \"mine\"\n"
        ));
        let ran = project.regreen(HEAL).expect(exit);
        let log = project.regreen(&["show", "last"]);
        assert!(said(&ran).contains(why) || said(&log).contains(why), "{why}: {} {}", said(&ran), said(&log));
    }
}
