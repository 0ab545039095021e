use super::*;

fn calls(trace: &Trace) -> Vec<String> {
    trace.frames.iter().map(|frame| format!("{}:{} {}", frame.file, frame.line, frame.function)).collect()
}

#[track_caller]
fn only(text: &str) -> Trace {
    let mut all = read(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[test]
fn pythons_chains_are_read_out_of_a_containers_log() {
    let text = r#"
web-1  | 2026-11-21 10:00:00,123 INFO request started
web-1  | Traceback (most recent call last):
web-1  |   File "/app/shop/cart.py", line 12, in total
web-1  |     return sum(prices) / len(prices)
web-1  |            ~~~~~~~~~~~~^~~~~~~~~~~~~
web-1  | ZeroDivisionError: division by zero
web-1  | 
web-1  | The above exception was the direct cause of the following exception:
web-1  | 
web-1  | Traceback (most recent call last):
web-1  |   File "/app/main.py", line 30, in <module>
web-1  |     main()
web-1  |   File "/app/main.py", line 9, in main
web-1  |     raise shop.errors.Broken("no prices") from error
web-1  | shop.errors.Broken: no prices
web-1  | and then some
"#;
    let trace = only(text);
    assert_eq!(
        (trace.language, trace.kind.as_str(), trace.short()),
        (Language::Python, "shop.errors.Broken", "Broken")
    );
    assert_eq!(calls(&trace), ["/app/main.py:9 main", "/app/main.py:30 <module>"]);
    let cause = trace.cause.unwrap();
    assert_eq!(
        (cause.title().as_str(), calls(&cause)),
        ("ZeroDivisionError: division by zero", vec!["/app/shop/cart.py:12 total".to_owned()])
    );
}

#[test]
fn a_logger_may_write_before_a_tracebacks_head() {
    let text = "2026-11-21 10:00:00 ERROR app: failed Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    x()\nKeyError: 'a'\n";
    let trace = only(text);
    assert_eq!((trace.title().as_str(), calls(&trace)), ("KeyError: 'a'", vec!["a.py:3 f".to_owned()]));
}

#[test]
fn nodes_errors_are_read_with_their_causes() {
    let text = "\
/srv/app/cart.js:7
    throw new Error('cannot total', { cause: error });
    ^

Error: cannot total
    at total (/srv/app/cart.js:7:11)
    at async handle (file:///srv/app/my%20shop/server.mjs:20:5)
    at node:internal/process/task_queues:95:5 {
  [cause]: TypeError [ERR_X]: Cannot read properties of undefined (reading 'price')
      at price (/srv/app/price.ts:3:15)
      at Array.map (<anonymous>)
      at new Cart (/srv/app/with space/cart.js:5:3)
}

Node.js v20.1.0
";
    let trace = only(text);
    assert_eq!((trace.kind.as_str(), trace.message.as_str()), ("Error", "cannot total"));
    assert_eq!(
        calls(&trace),
        [
            "/srv/app/cart.js:7 total",
            "file:///srv/app/my%20shop/server.mjs:20 handle",
            "node:internal/process/task_queues:95 "
        ]
    );
    let cause = trace.cause.unwrap();
    assert_eq!(cause.title(), "TypeError: Cannot read properties of undefined (reading 'price')");
    assert_eq!(calls(&cause), ["/srv/app/price.ts:3 price", "/srv/app/with space/cart.js:5 new Cart"]);
    assert_eq!(cause.frames[0].column, 15);
}

#[test]
fn nodes_messages_may_have_lines_and_own_types() {
    let text = "listening\nUnhandled promise:\nshop.PriceError: bad price\n  of two things\n    at f (/a/b.js:1:2)\n    at g (/a/c.js:3:4)\nnext line\n";
    let trace = only(text);
    assert_eq!(
        (trace.kind.as_str(), trace.message.as_str()),
        ("shop.PriceError", "bad price\n  of two things")
    );
    assert_eq!(calls(&trace), ["/a/b.js:1 f", "/a/c.js:3 g"]);
}

#[test]
fn rusts_backtraces_begin_at_what_panicked() {
    let text = "\
thread 'main' (4242) panicked at src/stats.rs:4:12:
attempt to divide by zero
stack backtrace:
   0: __rustc::rust_begin_unwind
             at /rustc/2fb2/library/std/src/panicking.rs:689:5
   1: core::panicking::panic_fmt
             at /rustc/2fb2/library/core/src/panicking.rs:80:14
   2: core::panicking::panic_const::panic_const_div_by_zero
             at /rustc/2fb2/library/core/src/panicking.rs:180:17
   3: stats::mean
             at ./src/stats.rs:4:12
   4: stats::main::h0123456789abcdef
             at ./src/main.rs:9:5
   5: core::ops::function::FnOnce::call_once
             at /rustc/2fb2/library/core/src/ops/function.rs:250:5
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
";
    let trace = only(text);
    assert_eq!((trace.kind.as_str(), trace.message.as_str()), ("panic", "attempt to divide by zero"));
    assert_eq!(calls(&trace), ["./src/stats.rs:4 stats::mean", "./src/main.rs:9 stats::main"]);
    let bare = only(
        "thread 'main' panicked at src/a.rs:1:2:\nboom\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
    );
    assert_eq!((bare.message.as_str(), calls(&bare)), ("boom", vec!["src/a.rs:1 ".to_owned()]));
    let old = only("thread 'x' panicked at 'boom', src/a.rs:1:2\n");
    assert_eq!((old.message.as_str(), calls(&old)), ("boom", vec!["src/a.rs:1 ".to_owned()]));
}

#[test]
fn gos_first_goroutine_is_the_one_that_panicked() {
    let text = "\
panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.total({0xc000012345, 0x3, 0x3}, 0x4)
\t/src/app/total.go:12 +0x1d
example.org/shop/cart.(*Cart).Sum(0xc0000a8000)
\t/src/app/cart/cart.go:30 +0x25
main.main()
\t/src/app/main.go:7 +0x2f

goroutine 18 [select]:
net/http.(*Server).Serve(0x1)
\t/usr/local/go/src/net/http/server.go:3000 +0x1
exit status 2
";
    let trace = only(text);
    assert_eq!(trace.title(), "panic: runtime error: index out of range [3] with length 3");
    assert_eq!(
        calls(&trace),
        [
            "/src/app/total.go:12 main.total",
            "/src/app/cart/cart.go:30 example.org/shop/cart.(*Cart).Sum",
            "/src/app/main.go:7 main.main"
        ]
    );
    let served = "2026/11/21 10:00:00 http: panic serving 127.0.0.1:5: boom\ngoroutine 6 [running]:\nnet/http.(*conn).serve.func1()\n\t/usr/local/go/src/net/http/server.go:1 +0x1\npanic({0x1, 0x2})\n\t/usr/local/go/src/runtime/panic.go:770 +0x132\nmain.handle(...)\n\t/src/app/main.go:9\n";
    assert_eq!(calls(&only(served)).last().unwrap(), "/src/app/main.go:9 main.handle");
}

#[test]
fn javas_frames_get_the_folders_of_their_package() {
    let text = "\
10:00:00.000 [main] ERROR o.a.Catalina - servlet threw
java.lang.IllegalStateException: no total
\tat com.acme.shop.Cart.total(Cart.java:31)
\tat java.base/java.util.ArrayList.forEach(ArrayList.java:1511)
\tat com.acme.shop.MainKt.main(Main.kt)
Caused by: java.lang.ArithmeticException: / by zero
\tat com.acme.shop.Prices.mean(Prices.kt:12)
\tat com.acme.shop.Cart.total(Cart.java:28)
\t... 2 more
after
";
    let trace = only(text);
    assert_eq!((trace.short(), trace.message.as_str()), ("IllegalStateException", "no total"));
    assert_eq!(calls(&trace)[0], "com/acme/shop/Cart.java:31 com.acme.shop.Cart.total");
    assert_eq!(calls(&trace)[1], "java/util/ArrayList.java:1511 java.util.ArrayList.forEach");
    let cause = trace.cause.unwrap();
    assert_eq!(calls(&cause)[0], "com/acme/shop/Prices.kt:12 com.acme.shop.Prices.mean");
    let main = only("Exception in thread \"main\" java.lang.NullPointerException\n\tat A.main(A.java:3)\n");
    assert_eq!(
        (main.title().as_str(), calls(&main)),
        ("java.lang.NullPointerException", vec!["A.java:3 A.main".to_owned()])
    );
}

#[test]
fn rubys_exceptions_are_read_as_the_interpreter_and_rails_print_them() {
    let text = "\
app.rb:3:in 'Integer#/': divided by 0 (ZeroDivisionError)
\tfrom app.rb:3:in 'Stats.mean'
\tfrom /srv/main.rb:9:in `<main>'
";
    let trace = only(text);
    assert_eq!(trace.title(), "ZeroDivisionError: divided by 0");
    assert_eq!(calls(&trace), ["app.rb:3 Integer#/", "app.rb:3 Stats.mean", "/srv/main.rb:9 <main>"]);
    let caused = only(
        "b.rb:5:in 'rescue in f': outer (RuntimeError)\n\tfrom b.rb:1:in 'f'\nb.rb:3:in 'f': inner (Shop::Broken)\n\tfrom b.rb:9:in '<main>'\n",
    );
    assert_eq!(caused.cause.unwrap().title(), "Shop::Broken: inner");
    let rails = only(
        "NoMethodError (undefined method 'x' for nil):\n\napp/models/cart.rb:7:in 'Cart#total'\napp/controllers/carts_controller.rb:3:in 'show'\n",
    );
    assert_eq!(
        calls(&rails),
        ["app/models/cart.rb:7 Cart#total", "app/controllers/carts_controller.rb:3 show"]
    );
}

#[test]
fn phps_functions_stand_at_the_places_where_they_failed() {
    let text = "\
PHP Fatal error:  Uncaught DivisionByZeroError: Division by zero in /app/src/Stats.php:5
Stack trace:
#0 /app/index.php(3): App\\Stats->mean(Array)
#1 [internal function]: handle()
#2 {main}

Next App\\Broken: no stats in /app/index.php:9
Stack trace:
#0 {main}
  thrown in /app/index.php on line 9
";
    let trace = only(text);
    assert_eq!((trace.short(), calls(&trace)), ("Broken", vec!["/app/index.php:9 {main}".to_owned()]));
    let cause = trace.cause.unwrap();
    assert_eq!(
        calls(&cause),
        [
            "/app/src/Stats.php:5 App/Stats->mean".replace("App/", "App\\"),
            "/app/index.php:3 handle".to_owned()
        ]
    );
    let parse = only("PHP Parse error:  syntax error, unexpected end of file in /app/a.php on line 3\n");
    assert_eq!((parse.kind.as_str(), calls(&parse)), ("ParseError", vec!["/app/a.php:3 ".to_owned()]));
}

#[test]
fn natives_crashes_are_read_from_sanitizers_gdb_and_glibc() {
    let asan = "\
==123==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000014 at pc 0x4f bp 0x7f sp 0x7e
READ of size 4 at 0x602000000014 thread T0
    #0 0x55d0 in total /src/total.c:12:5
    #1 0x55d1 in std::vector<int, std::allocator<int> >::at(unsigned long) /usr/include/c++/12/bits/stl_vector.h:1140
    #2 0x7f29 (/lib/x86_64-linux-gnu/libc.so.6+0x29d8f)

0x602000000014 is located 0 bytes after 4-byte region
allocated by thread T0 here:
    #0 0x7f in malloc
";
    let trace = only(asan);
    assert_eq!(trace.short(), "heap-buffer-overflow");
    assert_eq!(calls(&trace)[0], "/src/total.c:12 total");
    assert_eq!((trace.frames.len(), trace.frames[2].module.as_str()), (3, "/lib/x86_64-linux-gnu/libc.so.6"));
    let gdb = "Program received signal SIGSEGV, Segmentation fault.\n0x0000555 in total (list=0x0) at src/total.c:12\n#0  0x0000555555555131 in total (list=0x0) at src/total.c:12\n#1  0x0000555555555155 in main (argc=1, argv=0x7ffe) at src/main.c:5\n";
    let trace = only(gdb);
    assert_eq!(
        (trace.title().as_str(), calls(&trace)),
        (
            "SIGSEGV: Segmentation fault",
            vec!["src/total.c:12 total".to_owned(), "src/main.c:5 main".to_owned()]
        )
    );
    let glibc =
        "./app(handler+0x1d)[0x401176]\n/lib/libc.so.6(+0x3c050)[0x7f]\n./app(total+0x1d) [0x401196]\n";
    assert_eq!(only(glibc).frames[2].function, "total");
    let thrown = only(
        "terminate called after throwing an instance of 'std::out_of_range'\n  what():  vector::_M_range_check\n",
    );
    assert_eq!(thrown.title(), "std::out_of_range: vector::_M_range_check");
    let undefined = only("src/a.cpp:3:7: runtime error: signed integer overflow: 1 + 2147483647\n");
    assert_eq!(calls(&undefined), ["src/a.cpp:3 "]);
}

#[test]
fn what_is_no_trace_is_none() {
    for text in [
        "",
        "all went well\n",
        "at the end of the day: 3 tests passed\n    at home\n",
        "warning: unused variable\n  --> src/a.rs:1:2\n",
        "panic: at the disco\n",
        "error in a.php:3\n",
        "Traceback (most recent call last):\n",
    ] {
        assert_eq!(read(text), [], "{text}");
    }
}

#[test]
fn the_last_trace_with_a_stack_ended_the_program() {
    let text = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\nKeyError: 1\nok\nTraceback (most recent call last):\n  File \"b.py\", line 1, in g\n    x\nTypeError: 2\nterminate called after throwing an instance of 'x'\n";
    assert_eq!(last(text).unwrap().kind, "TypeError");
    assert_eq!(last("nothing"), None);
}
