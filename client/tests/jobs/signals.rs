//! Which signals reach a command, and how often.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::broker::Broker;
use crate::wrapper::{Job, Run};

/// A command that writes down what it hears.
const LISTEN: &str = "for s in INT TERM HUP QUIT USR1 USR2 WINCH TSTP CONT URG; do \
                      trap \"echo $s >> $DIR/heard\" $s; done; echo > $DIR/listening; \
                      while [ ! -e $DIR/go ]; do sleep 0.02; done; exit 0";

/// Waits until the command has heard exactly these, in whatever order.
async fn heard(run: &Run, expected: &[&str]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    for attempt in 0..500 {
        let text = run.file("heard").await;
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        if lines == expected {
            return;
        }
        assert!(attempt < 499, "{lines:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_signal_for_the_command_reaches_it_once() {
    let broker = Broker::start().await;
    let run = Job::new(&broker).sh(LISTEN);
    run.file("listening").await;
    let mut expected = Vec::new();
    for (signal, name) in [
        (Signal::SIGINT, "INT"),
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGQUIT, "QUIT"),
        (Signal::SIGUSR1, "USR1"),
        (Signal::SIGUSR2, "USR2"),
        (Signal::SIGWINCH, "WINCH"),
    ] {
        run.signal(signal);
        expected.push(name);
        heard(&run, &expected).await;
    }
    // This one stops what the shell waits for, so it is heard once all go on.
    run.signal(Signal::SIGTSTP);
    tokio::time::sleep(Duration::from_millis(100)).await;
    run.signal(Signal::SIGCONT);
    expected.extend(["CONT", "TSTP"]);
    heard(&run, &expected).await;
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_means_us_is_not_passed_on() {
    let broker = Broker::start().await;
    let run = Job::new(&broker).sh(LISTEN);
    run.file("listening").await;
    for signal in [Signal::SIGURG, Signal::SIGCHLD, Signal::SIGPIPE] {
        run.signal(signal);
    }
    // A signal that is passed on shows that those before it were not.
    run.signal(Signal::SIGUSR1);
    assert_eq!(run.file("heard").await, "USR1\n");
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_our_caller_ignores_the_command_ignores_too() {
    let broker = Broker::start().await;
    let run = Job::new(&broker)
        .under("trap '' HUP; exec \"$@\"")
        .sh("kill -HUP $$; echo survived > $DIR/mark; while [ ! -e $DIR/go ]; do sleep 0.02; done");
    assert_eq!(run.file("mark").await, "survived\n");
    run.signal(Signal::SIGHUP);
    run.touch("go");
    assert_eq!(run.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_the_keyboards_interrupt_comes_once_and_the_lease_is_given_back() {
    let broker = Broker::start().await;
    // It does not sleep: a shell that waits for something takes two interrupts for one.
    let script = "trap 'echo INT >> $DIR/heard' INT; echo > $DIR/listening; \
                  while [ ! -e $DIR/go ]; do :; done; exit 4";
    let run = Job::new(&broker).on_terminal().sh(script);
    run.file("listening").await;
    run.touch("press");
    heard(&run, &["INT"]).await;
    // A second one, from us, would come now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    heard(&run, &["INT"]).await;
    run.touch("go");
    let ended = run.end().await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert_eq!(broker.world().only_lease().why, Some("released"));
}
