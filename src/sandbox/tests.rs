use super::*;

/// A tree with layers over it, in a folder of its own.
struct Bench {
    _folder: tempfile::TempDir,
    root: PathBuf,
    view: View,
}

fn bench() -> Bench {
    bench_called("plain")
}

fn bench_called(name: &str) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap().join(name);
    std::fs::create_dir(&base).unwrap();
    let [root, upper, work, reports] = ["tree", "upper", "work", "reports"].map(|name| base.join(name));
    for path in [&root, &upper, &work, &reports] {
        std::fs::create_dir(path).unwrap();
    }
    let view = View {
        root: root.clone(),
        lowers: vec![root.clone()],
        upper: Some((upper, work)),
        in_place: false,
        read_only: vec![],
        reports: Some(reports),
        caches: Caches::default(),
    };
    Bench { _folder: folder, root, view }
}

impl Bench {
    fn job(&self, line: &str) -> Job {
        Job {
            argv: ["sh", "-c", line].map(String::from).to_vec(),
            cwd: self.root.clone(),
            env: BTreeMap::new(),
            limits: Limits {
                wall: Duration::from_secs(60),
                memory: 2 << 30,
                processes: 256,
                file_size: 1 << 30,
                output: 1 << 20,
            },
            network: Network::None,
            hosts: None,
            view: self.view.clone(),
        }
    }
}

async fn run(job: &Job) -> (End, String) {
    let sandbox = Sandbox::detect(Mode::Auto).await.unwrap();
    run_in(&sandbox, job).await
}

async fn run_in(sandbox: &Sandbox, job: &Job) -> (End, String) {
    let mut running = sandbox.spawn(job).await.unwrap();
    drop(running.take_input());
    let mut output = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match running.read(&mut buffer).await.unwrap() {
            0 => break,
            read => output.extend_from_slice(&buffer[..read]),
        }
    }
    (running.wait().await.unwrap().end, String::from_utf8_lossy(&output).into_owned())
}

#[tokio::test]
async fn exit_codes_and_signals_are_forwarded() {
    let bench = bench();
    assert_eq!(
        run(&bench.job("echo out; echo err >&2; exit 7")).await,
        (End::Exited(7), "out\nerr\n".into())
    );
    assert_eq!(run(&bench.job("kill -TERM $$")).await.0, End::Signaled(15));
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// A sandbox as it would be with this environment besides PATH.
fn with_env(mode: Mode, variables: &[(&str, &str)]) -> Sandbox {
    let mut env: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    env.entry("PATH".into()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".into());
    let toolchains = Arc::new(toolchains::Toolchains::find(&env));
    Sandbox { mode, launcher: "/proc/self/exe".into(), toolchains, registries: None }
}

/// Whether any process of the machine has `mark` among its arguments.
fn lives(mark: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|argument| argument == mark.as_bytes()))
    })
}

/// A length of sleep that nobody else uses.
fn mark() -> String {
    format!("3{}", uuid::Uuid::now_v7().as_u128() % 1_000_000_000_000)
}

#[tokio::test]
async fn a_missing_program_ends_as_in_a_shell() {
    let bench = bench();
    let job = Job { argv: vec!["regreen-no-such-program".into()], ..bench.job("") };
    let (end, output) = run(&job).await;
    assert_eq!(end, End::Exited(127));
    assert!(output.contains("regreen-no-such-program"), "{output}");
    std::fs::write(bench.root.join("plain"), "x").unwrap();
    let job = Job { argv: vec!["./plain".into()], ..bench.job("") };
    assert_eq!(run(&job).await.0, End::Exited(126));
}

#[tokio::test]
async fn the_network_is_off_unless_it_is_asked_for() {
    let bench = bench();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{}'", listener.local_addr().unwrap().port());
    let (end, output) = run(&bench.job(&line)).await;
    assert_eq!(end, End::Exited(1), "{output}");
    assert!(output.contains("refused"), "loopback is up but nobody listens: {output}");
    let open = Job { network: Network::All, ..bench.job(&line) };
    assert_eq!(run(&open).await, (End::Exited(0), String::new()));
    let sandbox = Sandbox::detect(Mode::Auto).await.unwrap();
    let registries = Job { network: Network::Registries, ..bench.job("true") };
    let refused = sandbox.spawn(&registries).await.unwrap_err();
    assert!(refused.downcast_ref::<Fault>().is_some());
}

#[tokio::test]
async fn the_environment_is_an_allowlist() {
    let bench = bench();
    for mode in [Mode::Auto, Mode::Off] {
        let sandbox = with_env(
            mode,
            &[
                ("ANTHROPIC_API_KEY", "canary"),
                ("GITHUB_TOKEN", "canary"),
                ("LC_ALL", "C.UTF-8"),
                ("NPM_CONFIG_TOKEN", "canary"),
            ],
        );
        let mut job = bench.job("env; cat /proc/self/environ | tr '\\0' '\\n'");
        job.env.insert("OWN".into(), "yes".into());
        let (end, output) = run_in(&sandbox, &job).await;
        assert_eq!(end, End::Exited(0));
        assert!(!output.contains("canary"), "{output}");
        assert!(output.contains("OWN=yes") && output.contains("LC_ALL=C.UTF-8"), "{output}");
        assert!(output.contains("REGREEN_REPORTS=") && output.contains("CARGO_NET_OFFLINE=true"), "{output}");
    }
}

#[tokio::test]
async fn secrets_in_the_home_folder_are_not_there() {
    let bench = bench();
    let home = bench.root.parent().unwrap().join("home");
    let project = home.join("project");
    for folder in [".ssh", ".cargo/bin", ".cargo/registry/cache", "project"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    for file in [
        ".ssh/id",
        ".netrc",
        ".npmrc",
        ".cargo/credentials.toml",
        ".cargo/registry/cache/a.crate",
        "project/code",
    ] {
        std::fs::write(home.join(file), "canary").unwrap();
    }
    std::fs::write(
        home.join(".cargo/config.toml"),
        "[build]\njobs = 1\n[registries.x]\ntoken = \"canary\"\n",
    )
    .unwrap();
    let sandbox = with_env(Mode::Auto, &[("HOME", home.to_str().unwrap())]);
    let mut job = bench.job(
        "cd; grep -rl canary . 2>/dev/null | sort; grep jobs .cargo/config.toml; echo x > .cargo/registry/cache/b && \
         echo x > .cargo/.lock && echo x > written && echo could",
    );
    job.view.root = project.clone();
    job.view.lowers = vec![project];
    job.cwd = home.clone();
    let (end, output) = run_in(&sandbox, &job).await;
    assert_eq!(output, "./.cargo/registry/cache/a.crate\n./project/code\njobs = 1\ncould\n");
    assert_eq!(end, End::Exited(0));
    assert!(!home.join("written").exists() && !home.join(".cargo/registry/cache/b").exists());

    // The home folder itself as the tree.
    let whole = View { root: home.clone(), lowers: vec![home.clone()], ..job.view.clone() };
    let job =
        Job { view: whole, argv: vec!["grep".into(), "-rl".into(), "canary".into(), ".".into()], ..job };
    let (_, output) = run_in(&sandbox, &job).await;
    let mut seen: Vec<&str> = output.lines().collect();
    seen.sort();
    assert_eq!(seen[seen.len() - 2..], ["./.cargo/registry/cache/a.crate", "./project/code"]);
    assert!(
        !output.contains(".ssh") && !output.contains("netrc") && !output.contains("credentials"),
        "{output}"
    );
}

#[tokio::test]
async fn nothing_outside_can_be_written_or_seen() {
    let bench = bench();
    std::fs::write(bench.root.parent().unwrap().join("beside"), "x").unwrap();
    let line = "for f in /x /usr/x /etc/x /etc/passwd /proc/sys/kernel/core_pattern /proc/sysrq-trigger /dev/sda /root/../x; do \
                (echo x > $f) 2>/dev/null && echo wrote $f; done; ls ..; ls /run; ls -d /sys /.host /.made 2>/dev/null; \
                cat /proc/kallsyms /proc/keys /proc/slabinfo /proc/kpageflags 2>/dev/null; ls /proc | grep -c '^[0-9]'";
    let (end, output) = run(&bench.job(line)).await;
    assert_eq!(end, End::Exited(0));
    let lines: Vec<&str> = output.lines().collect();
    // The folder beside the tree shows the tree alone; the command, its `ls` and `grep`, and the first process.
    assert_eq!(lines[0], "tree", "{output}");
    assert_eq!(lines.len(), 2, "{output}");
    assert!(lines[1].parse::<u32>().unwrap() <= 5, "{output}");
}

#[tokio::test]
async fn the_tree_itself_is_never_touched() {
    let bench = bench();
    std::fs::write(bench.root.join("old"), "old").unwrap();
    std::fs::create_dir(bench.root.join("folder")).unwrap();
    std::fs::write(bench.root.join("folder/file"), "file").unwrap();
    let line = "echo new > new && echo changed >> old && rm -r folder && ls && cat old && echo report > $REGREEN_REPORTS/r.xml";
    assert_eq!(run(&bench.job(line)).await, (End::Exited(0), "new\nold\noldchanged\n".into()));
    assert_eq!(text(bench.root.join("old")), "old");
    assert_eq!(text(bench.root.join("folder/file")), "file");
    assert!(!bench.root.join("new").exists());
    assert_eq!(text(bench.view.reports.as_ref().unwrap().join("r.xml")), "report\n");
    // The next command on the same layers sees what the first one did.
    assert_eq!(run(&bench.job("ls")).await.1, "new\nold\n");
}

#[tokio::test]
async fn the_git_folder_is_read_only_and_clean() {
    let bench = bench();
    let git = bench.root.join(".git");
    for folder in ["objects", "refs/heads", "hooks"] {
        std::fs::create_dir_all(git.join(folder)).unwrap();
    }
    std::fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    std::fs::write(git.join("hooks/pre-commit"), "canary").unwrap();
    let config = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n[remote \"origin\"]\n\turl = https://u:canary@example.com/a\n";
    std::fs::write(git.join("config"), config).unwrap();
    let line = "grep -r canary . ; git config remote.origin.url; git status --short; \
                for f in .git/x .git/config .git/objects/x .git/hooks/x; do (echo x > $f) 2>/dev/null && echo wrote $f; done; \
                mv .git gone 2>/dev/null && echo moved; rm -rf .git 2>/dev/null; cat .git/HEAD";
    let (end, output) = run(&bench.job(&format!("touch file; {line}"))).await;
    assert_eq!(output, "https://example.com/a\n?? file\nref: refs/heads/main\n");
    assert_eq!(end, End::Exited(0));
    assert_eq!(text(git.join("config")), config);
}

#[tokio::test]
async fn daemons_die_with_the_command() {
    let bench = bench();
    for mode in [Mode::Auto, Mode::Off] {
        let sandbox = with_env(mode, &[]);
        let mark = mark();
        let line = format!(
            "setsid sleep {mark} & (setsid sh -c 'trap \"\" TERM HUP; sleep {mark} & sleep {mark}' &) ; \
             while [ $(grep -al {mark} /proc/[0-9]*/cmdline 2>/dev/null | wc -l) -lt 3 ]; do :; done; echo started"
        );
        assert_eq!(run_in(&sandbox, &bench.job(&line)).await, (End::Exited(0), "started\n".into()));
        assert!(!lives(&mark), "{mode:?}");
    }
}

#[tokio::test]
async fn a_kill_and_a_drop_leave_nothing() {
    let bench = bench();
    for mode in [Mode::Auto, Mode::Off] {
        let sandbox = with_env(mode, &[]);
        let mark = mark();
        let line =
            format!("trap '' TERM INT; setsid sleep {mark} & echo started; sleep {mark}; sleep {mark}");
        let mut running = sandbox.spawn(&bench.job(&line)).await.unwrap();
        let mut buffer = [0; 64];
        assert_eq!(running.read(&mut buffer).await.unwrap(), 8);
        running.kill();
        assert_eq!(running.read(&mut buffer).await.unwrap(), 0, "the pipe's end comes");
        assert_eq!(running.wait().await.unwrap().end, End::Cancelled);
        assert!(!lives(&mark), "{mode:?}");

        let mut running = sandbox.spawn(&bench.job(&line)).await.unwrap();
        assert_eq!(running.read(&mut buffer).await.unwrap(), 8);
        drop(running);
        assert!(!lives(&mark), "{mode:?}");
    }
}

#[tokio::test]
async fn forks_are_bounded() {
    let bench = bench();
    let probe = cgroup::Cgroup::create(1 << 30, 64);
    if rustix::process::geteuid().is_root() && !probe.limits_processes() {
        eprintln!("skipped: root without the pids controller has no limit of processes");
        return;
    }
    let mut job = bench.job("for i in $(seq 300); do sleep 60 & echo $i; done 2>&1");
    job.limits.processes = 48;
    let (end, output) = run(&job).await;
    assert_ne!(end, End::Exited(0), "{output}");
    assert!(output.lines().filter(|line| line.parse::<u32>().is_ok()).count() < 60, "{output}");
}

#[tokio::test]
async fn memory_is_bounded() {
    let bench = bench();
    // The first ends badly because of it; the second would end well although a part of it was killed.
    for line in
        ["head -c 3000000000 /dev/zero | tail -n 1", "head -c 3000000000 /dev/zero | tail -n 1 | wc -c"]
    {
        let mut job = bench.job(line);
        job.limits.memory = 200 << 20;
        assert_eq!(run(&job).await.0, End::OutOfMemory);
    }
}

#[tokio::test]
async fn time_is_bounded() {
    let bench = bench();
    for mode in [Mode::Auto, Mode::Off] {
        let mark = mark();
        let mut job = bench.job(&format!("setsid sleep {mark} & sleep {mark}"));
        job.limits.wall = Duration::from_millis(700);
        assert_eq!(run_in(&with_env(mode, &[]), &job).await.0, End::TimedOut);
        assert!(!lives(&mark));
    }
}

#[tokio::test]
async fn files_and_temporary_space_are_bounded() {
    let bench = bench();
    let mut job = bench.job(
        "for f in /tmp/x ~/x /dev/shm/x; do head -c 90000000 /dev/zero > $f && echo wrote $f; rm $f; done",
    );
    job.limits.memory = 128 << 20;
    let (_, output) = run(&job).await;
    assert!(!output.contains("wrote") && output.contains("No space left"), "{output}");
    let mut job = bench.job("head -c 3000000 /dev/zero > big; wc -c < big");
    job.limits.file_size = 1 << 20;
    assert!(run(&job).await.1.ends_with("1048576\n"));
}

#[tokio::test]
async fn paths_may_hold_anything() {
    for name in
        ["with space", "co:lon", "com,ma", "back\\slash", "quo\"te'", "été ✓", "lowerdir=a,upperdir=b"]
    {
        let bench = bench_called(name);
        std::fs::write(bench.root.join("file"), "x").unwrap();
        let (end, output) = run(&bench.job("pwd; ls; rm file; echo y > new:1,2")).await;
        assert_eq!((end, output), (End::Exited(0), format!("{}\nfile\n", bench.root.display())));
        assert_eq!(text(bench.view.upper.as_ref().unwrap().0.join("new:1,2")), "y\n");
    }
}

#[tokio::test]
async fn privileges_are_gone() {
    let bench = bench();
    let line = "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\\t' ' '; ls /proc/self/fd | wc -l; \
                unshare -U true 2>/dev/null && echo userns; unshare -m true 2>/dev/null && echo mountns; \
                mount -t tmpfs x /tmp 2>/dev/null && echo mounted; chmod u+s /tmp 2>/dev/null && echo setuid; ulimit -c";
    let (_, output) = run(&bench.job(line)).await;
    let zero = |name: &str| format!("Cap{name}: 0000000000000000\n");
    let caps: String = ["Inh", "Prm", "Eff", "Bnd", "Amb"].map(zero).concat();
    assert_eq!(output, format!("{caps}NoNewPrivs: 1\nSeccomp: 2\n4\n0\n"));
}

#[tokio::test]
async fn dangerous_system_calls_are_refused() {
    let bench = bench();
    // io_uring_setup, open_tree, pidfd_getfd have the same number everywhere; AF_VSOCK, AF_PACKET and raw sockets by hand.
    let line = "perl -e 'for (425, 428, 438) { syscall($_, 0, 0, 0); print $!+0, \"\\n\" } use Socket; \
                for ([40,1],[17,3],[2,3],[16,3]) { print socket(my $s, $$_[0], $$_[1], 0) ? 0 : $!+0, \"\\n\" }'";
    let (end, output) = run(&bench.job(line)).await;
    if end == End::Exited(127) {
        eprintln!("skipped: no perl on this machine");
        return;
    }
    // The last, routing netlink, is how the C library asks for interfaces.
    assert_eq!(output, "1\n1\n1\n1\n1\n1\n0\n");
}

#[tokio::test]
async fn streams_can_come_apart() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bench = bench();
    let sandbox = Sandbox::detect(Mode::Auto).await.unwrap();
    let mut running =
        sandbox.spawn_apart(&bench.job("read line; echo got $line; echo trouble >&2; cat")).await.unwrap();
    let mut input = running.take_input().unwrap();
    input.write_all(b"hello\nmore").await.unwrap();
    drop(input);
    let (mut output, mut errors) = (String::new(), String::new());
    running.take_output().unwrap().read_to_string(&mut output).await.unwrap();
    running.take_errors().unwrap().read_to_string(&mut errors).await.unwrap();
    assert_eq!((output.as_str(), errors.as_str()), ("got hello\nmore", "trouble\n"));
    assert_eq!(running.wait().await.unwrap().end, End::Exited(0));
}

#[tokio::test]
async fn tools_work_inside() {
    let bench = bench();
    for (tool, line, wanted) in [
        (
            "python3",
            "python3 -c 'import multiprocessing as m, os\nif __name__ == \"__main__\":\n  print(sum(m.Pool(2).map(abs, [-1, 2])))'",
            "3\n",
        ),
        (
            "node",
            "node -e 'const w = require(\"worker_threads\"); new w.Worker(\"require(\\\"worker_threads\\\").parentPort.postMessage(7)\", {eval: true}).on(\"message\", m => console.log(m, require(\"os\").networkInterfaces().lo.length > 0))'",
            "7 true\n",
        ),
        (
            "git",
            "git init -q r && cd r && git -c user.name=a -c user.email=b commit -q --allow-empty -m x && git log --format=%s",
            "x\n",
        ),
        ("script", "script -qec 'tty' /dev/null | cut -c1-8", "/dev/pts\n"),
    ] {
        let (end, output) =
            run(&bench.job(&format!("{tool} --version >/dev/null 2>&1 || exit 99; {line}"))).await;
        if end == End::Exited(99) {
            eprintln!("skipped: {tool} is not here for this user");
            continue;
        }
        assert_eq!((end, output.as_str()), (End::Exited(0), wanted), "{tool}");
    }
}

/// Everything of this module and of the workspaces once more without root's rights.
#[tokio::test]
async fn all_of_it_as_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(home.path(), Some(65534), Some(65534)).unwrap();
    let place = home.path().to_str().unwrap();
    let program = std::env::current_exe().unwrap();
    let argv = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        program.to_str().unwrap(),
        "sandbox::",
        "workspace::",
    ];
    let done = crate::process::run(crate::process::Invocation {
        argv: argv.map(String::from).to_vec(),
        dir: Some("/".into()),
        env: vec![("HOME".into(), place.into()), ("TMPDIR".into(), place.into())],
        clear_env: false,
        stdin: None,
        timeout: Duration::from_secs(600),
        most_output: 1 << 20,
    })
    .await
    .unwrap();
    assert_eq!(
        done.status,
        Some(0),
        "{}\n{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Not a test: the runner that the next one kills.
#[tokio::test]
#[ignore = "started by another test"]
async fn runs_until_it_is_killed() {
    let Ok(mark) = std::env::var("REGREEN_TEST_MARK") else { return };
    let bench = bench();
    let sandbox = with_env(Mode::Auto, &[]);
    let off = with_env(Mode::Off, &[]);
    let job = bench.job(&format!("setsid sleep {mark} & echo started; sleep {mark}"));
    let mut one = sandbox.spawn(&job).await.unwrap();
    let mut other = off.spawn(&job).await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!((one.read(&mut buffer).await.unwrap(), other.read(&mut buffer).await.unwrap()), (8, 8));
    std::fs::write(std::env::var("REGREEN_TEST_READY").unwrap(), "").unwrap();
    one.wait().await.unwrap();
}

#[tokio::test]
async fn a_killed_runner_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let mark = mark();
    let program = std::env::current_exe().unwrap();
    let argv = [program.to_str().unwrap(), "--ignored", "--exact", "sandbox::tests::runs_until_it_is_killed"];
    let runner = crate::process::run(crate::process::Invocation {
        argv: argv.map(String::from).to_vec(),
        dir: None,
        env: vec![
            ("REGREEN_TEST_MARK".into(), mark.clone()),
            ("REGREEN_TEST_READY".into(), ready.to_str().unwrap().into()),
            ("TMPDIR".into(), folder.path().to_str().unwrap().into()),
        ],
        clear_env: false,
        stdin: None,
        timeout: Duration::from_secs(120),
        most_output: 1 << 16,
    });
    // Dropping the future is a SIGKILL to the runner alone: its launchers have process groups of their own.
    let until = |wanted: &dyn Fn() -> bool| {
        let limit = Instant::now() + Duration::from_secs(60);
        while !wanted() {
            assert!(Instant::now() < limit, "waited too long");
            std::thread::yield_now();
        }
    };
    let runner = tokio::spawn(runner);
    while !ready.exists() {
        tokio::task::yield_now().await;
        assert!(!runner.is_finished(), "{:?}", runner.await);
    }
    // A shell says "started" before what it started has become `sleep`.
    until(&|| lives(&mark));
    runner.abort();
    assert!(runner.await.is_err());
    until(&|| !lives(&mark));
}

#[tokio::test]
async fn the_machine_is_described_as_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let all = capabilities(scratch.path()).await.unwrap();
    for name in ["user namespaces", "network off", "overlay", "private /proc", "seccomp", "git"] {
        let one = all.iter().find(|one| one.name == name).unwrap();
        assert!(one.works && one.advice.is_none(), "{one:?}");
    }
    assert!(all.iter().all(|one| one.works != one.advice.is_some()));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left");
    assert!(capabilities(Path::new("/proc")).await.is_err(), "where nothing can be written");
}

/// A sandbox whose jobs may reach exactly these registries.
async fn with_registries(registries: Registries) -> Sandbox {
    let mut sandbox = Sandbox::detect(Mode::Auto).await.unwrap();
    let environment = Environment::from_pairs(Path::new("/"), [("PATH", "/usr/bin:/bin")]);
    let confinement = crate::config::UserConfig::defaults(&environment).sandbox;
    let found = OnceCell::new_with(Some(Arc::new(registries)));
    sandbox.registries = Some(Arc::new(Allowed { environment, confinement, found }));
    sandbox
}

/// Speaks to the proxy as its first argument says, and prints the status of the answer; or tries to go out without it.
const CLIENT: &str = r#"
import os, socket, sys, urllib.parse
def asked(target):
    proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
    with socket.create_connection((proxy.hostname, proxy.port), 20) as out:
        out.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        return out.recv(4096).split()[1].decode()
def fails(what):
    try: what()
    except OSError: return "fails"
    return "WORKS"
port = int(sys.argv[1])
print(asked(f"localhost:{port}"), asked("elsewhere.example:443"), asked(f"localhost:{port + 1 if port < 65535 else 1}"),
      fails(lambda: socket.create_connection(("127.0.0.1", port), 5)),
      fails(lambda: socket.getaddrinfo("elsewhere.example", 443)),
      fails(lambda: socket.create_connection(("192.0.2.1", 80), 5)))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_registries_reaches_them_through_the_proxy_and_nothing_else() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let sandbox = with_registries(Registries::of([("localhost".into(), port)], true)).await;
    let bench = bench();
    std::fs::write(bench.root.join("client.py"), CLIENT).unwrap();
    let mut job = bench.job(&format!("exec /usr/bin/python3 client.py {port}"));
    job.network = Network::Registries;
    let (end, output) = run_in(&sandbox, &job).await;
    assert_eq!((end, output.as_str()), (End::Exited(0), "200 403 403 fails fails fails\n"));
}

#[tokio::test]
async fn without_a_view_settings_are_read_unless_they_could_hold_a_key() {
    let bench = bench();
    let home = bench.root.parent().unwrap().join("home");
    std::fs::create_dir_all(home.join(".cargo")).unwrap();
    std::fs::write(home.join(".gitconfig"), "[alias]\n\tx = canary\n").unwrap();
    let settings = home.join(".cargo/config.toml");
    let (path, home) = (settings.to_str().unwrap().to_owned(), home.to_str().unwrap().to_owned());
    for (text, seen) in [("[build]\njobs = 1", true), ("[registries.x]\ntoken = \"canary\"\n", false)] {
        std::fs::write(&settings, text).unwrap();
        let sandbox = with_env(Mode::Degraded, &[("HOME", &home)]);
        let mut job = bench.job(&format!("cat '{path}' 2>/dev/null; git config --get alias.x; git version"));
        job.view = View { upper: None, in_place: true, reports: None, ..job.view };
        let (end, output) = run_in(&sandbox, &job).await;
        assert_eq!(end, End::Exited(0), "{output}");
        assert!(output.contains("git version") && !output.contains("canary"), "{output}");
        assert_eq!(output.contains("jobs = 1"), seen, "{output}");
    }
}

/// What is left in a cache's layer by one job, as a layer below the next.
#[tokio::test]
async fn what_a_setup_puts_into_a_cache_is_seen_by_later_jobs_and_never_on_the_host() {
    let bench = bench();
    let base = bench.root.parent().unwrap().to_owned();
    let home = base.join("home");
    for folder in ["home/.cargo/registry", "caches", "work"] {
        std::fs::create_dir_all(base.join(folder)).unwrap();
    }
    for name in cache_names() {
        for folder in ["caches", "work"] {
            std::fs::create_dir(base.join(folder).join(name)).unwrap();
        }
    }
    std::fs::write(home.join(".cargo/registry/own"), "own").unwrap();
    let sandbox = with_env(Mode::Auto, &[("HOME", home.to_str().unwrap())]);
    // Of the second the host has nothing.
    let line = "cd && mkdir -p go/pkg/mod && echo new > .cargo/registry/new && echo new > go/pkg/mod/new";
    let mut job = bench.job(line);
    let (layer, work) = (base.join("caches"), Some(base.join("work")));
    job.view.caches.upper = Some(CacheLayer { layer: layer.clone(), work });
    assert_eq!(run_in(&sandbox, &job).await, (End::Exited(0), String::new()));
    let look = "cd && cat .cargo/registry/own .cargo/registry/new go/pkg/mod/new; echo x > go/pkg/mod/more";
    for _ in 0..2 {
        let mut job = bench.job(&format!("{look}; ls go/pkg/mod"));
        job.view.caches.layers = vec![layer.clone()];
        assert_eq!(run_in(&sandbox, &job).await, (End::Exited(0), "ownnew\nnew\nmore\nnew\n".into()));
    }
    let (_, output) = run_in(&sandbox, &bench.job("cd && cat .cargo/registry/new go/pkg/mod/new")).await;
    assert!(!output.contains("new\n") || output.contains("No such file"), "{output}");
    assert!(!home.join(".cargo/registry/new").exists() && !home.join("go").exists());
}
