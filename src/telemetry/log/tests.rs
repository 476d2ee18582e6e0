use std::io::{self, Write};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use serde_json::Value;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use super::{Handle, subscriber};
use crate::settings::{Log, LogFormat, LogLevel};
use crate::telemetry::spool::LINES_MAX;

/// Long enough for a test that is going to fail anyway.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream that a test reads, and may shut.
#[derive(Clone, Default)]
struct Sink(Arc<(Mutex<State>, Condvar)>);

/// What was written, and whether the stream is shut.
type State = (Vec<u8>, bool);

impl Sink {
    fn text(&self, handle: &Handle) -> String {
        assert!(handle.flush(PATIENCE));
        String::from_utf8(self.0.0.lock().unwrap().0.clone()).unwrap()
    }

    fn shut(&self, shut: bool) {
        self.0.0.lock().unwrap().1 = shut;
        self.0.1.notify_all();
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let state = self.0.0.lock().unwrap();
        let mut state = self.0.1.wait_while(state, |(_, shut)| *shut).unwrap();
        state.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Two subscribers that never know beforehand whether they want an event.
///
/// Whether anybody wants the events of a place in the code is asked once for all threads. A thread
/// without a subscriber that comes there first would settle for all of them that nobody does.
static UNDECIDED: LazyLock<[Dispatch; 2]> = LazyLock::new(|| {
    [(); 2].map(|()| {
        tracing_subscriber::registry()
            .with(dynamic_filter_fn(|_, _| false))
            .into()
    })
});

/// Runs `act` under `subscriber`, whatever tests run beside this one.
fn under(subscriber: impl Subscriber + Send + Sync, act: impl FnOnce()) {
    LazyLock::force(&UNDECIDED);
    tracing::subscriber::with_default(subscriber, act);
}

/// Runs `act` with a log, and gives what came of it.
pub(in crate::telemetry) fn logged(
    level: LogLevel,
    format: LogFormat,
    colour: bool,
    act: impl FnOnce(&Handle),
) -> String {
    let sink = Sink::default();
    let (subscriber, handle) =
        subscriber(Log { level, format }, Box::new(sink.clone()), colour).unwrap();
    under(subscriber, || act(&handle));
    sink.text(&handle)
}

/// The lines without their times.
fn timeless(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split_at(25).1).collect()
}

#[test]
fn text_is_a_message_and_fields() {
    let text = logged(LogLevel::Info, LogFormat::Text, false, |_| {
        tracing::info!(
            user = "bob",
            code = 502_u16,
            ok = true,
            seconds = 0.5,
            "all is well"
        );
        tracing::warn!(
            path = "/a b",
            empty = "",
            sign = "a=b",
            quote = "a\"b\\",
            "quotes"
        );
        tracing::error!(error = %io::Error::other("no\nway\u{1b}[0m"), none = None::<&str>, "oh");
    });
    assert_eq!(
        timeless(&text),
        [
            "INFO all is well user=bob code=502 ok=true seconds=0.5",
            "WARN quotes path=\"/a b\" empty=\"\" sign=\"a=b\" quote=\"a\\x22b\\\"",
            "ERROR oh error=no\\x0away\\x1b[0m",
        ]
    );
    assert!(
        text.starts_with("20") && text.split_at(25).0.ends_with("Z "),
        "{text}"
    );
}

#[test]
fn json_is_an_object_a_line() {
    let text = logged(LogLevel::Info, LogFormat::Json, true, |_| {
        tracing::info!(
            user = "b\"o\nb",
            code = 502_u16,
            ok = true,
            "all\u{202e} is well"
        );
        tracing::warn!(target: "hyper", "from a library");
    });
    let lines: Vec<&str> = text.lines().map(|line| line.split_at(33).1).collect();
    assert_eq!(
        lines,
        [
            "\"level\":\"info\",\"message\":\"all\\\\xe2\\\\x80\\\\xae is well\",\
             \"user\":\"b\\\"o\\\\x0ab\",\"code\":502,\"ok\":true}",
            "\"level\":\"warn\",\"target\":\"hyper\",\"message\":\"from a library\"}",
        ]
    );
    for line in text.lines() {
        assert!(line.starts_with("{\"ts\":\"20"), "{line}");
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn libraries_are_heard_from_warnings_on() {
    let text = logged(LogLevel::Debug, LogFormat::Text, false, |_| {
        tracing::debug!("ours");
        tracing::info!(target: "hyper", "theirs");
        tracing::warn!(target: "hyper", "theirs and grave");
        tracing::trace!("too much");
    });
    assert_eq!(
        timeless(&text),
        ["DEBUG ours", "WARN hyper: theirs and grave"]
    );
    let text = logged(LogLevel::Error, LogFormat::Text, false, |_| {
        tracing::warn!(target: "hyper", "theirs and grave");
        tracing::warn!("ours");
    });
    assert_eq!(text, "");
}

#[test]
fn level_and_format_change_while_it_runs() {
    let text = logged(LogLevel::Info, LogFormat::Text, false, |handle| {
        tracing::debug!("unheard");
        tracing::info!("heard");
        handle.reconfigure(Log {
            level: LogLevel::Debug,
            format: LogFormat::Json,
        });
        tracing::debug!("heard as well");
        handle.reconfigure(Log {
            level: LogLevel::Error,
            format: LogFormat::Text,
        });
        tracing::info!("unheard");
    });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].ends_with("INFO heard"), "{text}");
    assert!(lines[1].contains("\"message\":\"heard as well\""), "{text}");
}

#[test]
fn colours_are_for_terminals() {
    let text = logged(LogLevel::Info, LogFormat::Text, true, |_| {
        tracing::info!("hello");
    });
    assert_eq!(timeless(&text), ["\u{1b}[32mINFO\u{1b}[0m hello"]);
}

#[test]
fn failed_logins_have_vsftpds_form() {
    let log = |format, user: &str| {
        logged(LogLevel::Info, format, true, |_| {
            super::login_failed(user, "2001:db8::9".parse().unwrap());
        })
    };
    let pid = std::process::id();
    let text = log(LogFormat::Text, "bob");
    let expected = format!(" [pid {pid}] [bob] FAIL LOGIN: Client \"2001:db8::9\"\n");
    assert_eq!(text.split_at(24).1, expected);
    let text = log(LogFormat::Text, "");
    assert!(text.contains("] [?] FAIL LOGIN"), "{text}");
    let text = log(LogFormat::Json, "a]b");
    let line: Value = serde_json::from_str(&text).unwrap();
    let message = line["message"].as_str().unwrap();
    let expected = format!(" [pid {pid}] [a\\x5db] FAIL LOGIN: Client \"2001:db8::9\"");
    assert_eq!(message.split_at(24).1, expected);
    assert_eq!(line.as_object().unwrap().len(), 3, "{text}");
}

#[test]
fn a_reader_that_stands_still_loses_lines_and_is_told_how_many() {
    let sink = Sink::default();
    sink.shut(true);
    let log = Log {
        level: LogLevel::Info,
        format: LogFormat::Text,
    };
    let (subscriber, handle) = subscriber(log, Box::new(sink.clone()), false).unwrap();
    under(subscriber, || {
        for _ in 0..LINES_MAX + 10 {
            tracing::info!("x");
        }
        assert!(!handle.flush(Duration::from_millis(10)));
        sink.shut(false);
        assert!(handle.flush(PATIENCE));
        tracing::info!("last");
    });
    let text = sink.text(&handle);
    let mut lines = text.lines().rev();
    let lost = lines.next().unwrap();
    assert!(
        lost.ends_with("WARN log lines were lost: nobody read them in time count=10"),
        "{lost}"
    );
    assert!(lines.next().unwrap().ends_with("INFO last"));
    assert_eq!(lines.count(), LINES_MAX);
}
