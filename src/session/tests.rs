//! What conversations cannot express: what the shell tells too late, what a session holds while
//! it waits, and the parts by themselves.

use bytes::Bytes;
use std::time::Duration;

use super::deadline::{Deadlines, Timer};
use super::pipeline::{Item, Pipeline};
use super::*;
use crate::ftp::address::Family;
use crate::ftp::reply::Code;
use crate::policy::spec::{Located, PolicySpec, Span, Stance};
use crate::policy::{self, Dialect};

mod truth;

/// A value that was written nowhere.
fn written<T>(value: T) -> Located<T> {
    Located {
        value,
        span: Span::default(),
    }
}

/// A judge who allows all that can be carried.
fn judge() -> Arc<Judge> {
    let spec = PolicySpec {
        name: Some(written("all".to_owned())),
        default: Some(written(Stance::Allow)),
        ..PolicySpec::default()
    };
    let (set, problems) = policy::compile(&[spec]);
    assert!(problems.is_empty(), "{problems:?}");
    let policy = Arc::clone(set.unwrap().get("all").unwrap());
    Arc::new(Judge::new(
        Arc::clone(&policy),
        policy,
        None,
        Dialect::default(),
        Vec::new(),
    ))
}

/// A session of a client that has just connected.
fn fresh() -> Session {
    let profile = Profile {
        greeting: None,
        limits: Arc::default(),
        data_mode: DataMode::Match,
        client_tls: ClientTls::default(),
        server_tls: ServerTls::default(),
        line_bytes: 510,
        data_addresses: Vec::new(),
        secret_words: Arc::default(),
        names_paths: false,
    };
    Session::new(
        Arc::new(profile),
        judge(),
        address("192.0.2.10:40000"),
        address("192.0.2.1:21"),
        Now::default(),
    )
}

/// An address.
fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A session that is logged in.
fn logged_in() -> Session {
    let mut session = fresh();
    drawn(&mut session);
    session.tell(connected(), Now::default());
    for (leg, bytes) in [
        (Leg::Server, "220 Ready.\r\n"),
        (Leg::Client, "USER ann\r\n"),
        (Leg::Server, "331 Password?\r\n"),
        (Leg::Client, "PASS secret\r\n"),
        (Leg::Server, "230 In.\r\n"),
    ] {
        session.receive(leg, bytes.as_bytes(), Now::default());
        drawn(&mut session);
    }
    session
}

/// The upstream answered.
fn connected() -> Told {
    Told::Connected(address("10.0.0.5:21"))
}

/// What the session wants done, facts apart, as it is written for debugging.
fn drawn(session: &mut Session) -> Vec<String> {
    let mut actions = Vec::new();
    while let Some(action) = session.next_action() {
        if !matches!(action, Action::Note(_)) {
            actions.push(format!("{action:?}"));
        }
    }
    actions
}

/// Everything that a shell can tell.
fn everything() -> Vec<Told> {
    let mut all = vec![
        connected(),
        Told::ConnectFailed,
        Told::Measured {
            bytes: 1,
            held_back: false,
        },
        Told::FailedLogins { count: 1 },
        Told::OfferStarved,
        Told::JudgeChanged(judge()),
        Told::LimitsChanged(Arc::default()),
        Told::SecretsChanged(Arc::default()),
    ];
    for leg in [Leg::Client, Leg::Server] {
        all.extend([
            Told::DataReset(leg),
            Told::Dialled(leg),
            Told::DialFailed(leg),
            Told::OfferFailed(leg),
            Told::OfferReady {
                leg,
                address: address("192.0.2.1:50000"),
            },
            Told::PeerArrived(leg),
            Told::StrangerRefused(leg),
        ]);
    }
    for end in [
        RelayEnd::Cut,
        RelayEnd::SinkBroke,
        RelayEnd::Source,
        RelayEnd::SourceBroke,
    ] {
        all.push(Told::RelayEnded { bytes: 1, end });
    }
    all
}

#[test]
fn the_first_wish_is_the_dial() {
    let mut session = fresh();
    assert_eq!(drawn(&mut session), ["Connect"]);
    assert_eq!(session.deadline(), Some(Duration::from_secs(30)));
    assert!(session.reads(Leg::Client));
    assert!(!session.reads(Leg::Server));
}

#[test]
fn what_is_told_too_late_moves_nothing() {
    for told in everything() {
        let mut session = logged_in();
        let text = format!("{told:?}");
        if matches!(told, Told::ConnectFailed) {
            continue;
        }
        session.tell(told, Now::default());
        // What came of an offer or a dial that nobody waits for is taken down again.
        for action in drawn(&mut session) {
            assert!(action.starts_with("EndData"), "{text}: {action}");
        }
        session.receive(Leg::Client, b"NOOP\r\n", Now::default());
        assert_eq!(drawn(&mut session), ["Forward(NOOP)"], "{text}");
    }
}

#[test]
fn nothing_happens_behind_the_end() {
    for told in everything() {
        let mut session = logged_in();
        session.ended(Leg::Client, End::Reset, Now::default());
        drawn(&mut session);
        assert!(session.is_over());
        session.tell(told, Now::default());
        session.receive(Leg::Client, b"NOOP\r\n", Now::default());
        session.receive(Leg::Server, b"200 Ok.\r\n", Now::default());
        session.ended(Leg::Server, End::Fin, Now::default());
        session.expire(Now {
            elapsed: Duration::from_hours(24),
            unix_time: 0,
        });
        assert!(session.next_action().is_none());
        assert_eq!(session.deadline(), None);
        assert!(!session.reads(Leg::Client) && !session.reads(Leg::Server));
    }
}

#[test]
fn a_late_offer_is_withdrawn() {
    let mut session = logged_in();
    session.tell(
        Told::OfferReady {
            leg: Leg::Server,
            address: address("10.0.0.1:50000"),
        },
        Now::default(),
    );
    assert_eq!(drawn(&mut session), ["EndData(Server, Reset)"]);
}

#[test]
fn a_family_is_asked_for_by_leg() {
    let mut session = logged_in();
    session.receive(Leg::Client, b"PORT 192,0,2,10,195,81\r\n", Now::default());
    assert_eq!(
        drawn(&mut session),
        [format!("Offer(Server, {:?})", Family::V4)]
    );
}

#[test]
fn sessions_work_one_after_the_other_in_the_same_memory() {
    let mut workspace = Workspace::default();
    let mut sessions = [logged_in(), logged_in()];
    for _ in 0..100 {
        for session in &mut sessions {
            session.take_up(&mut workspace);
            session.receive(Leg::Client, b"CWD one\r\nCWD t", Now::default());
            assert_eq!(drawn(session), ["Forward(CWD)"]);
            session.put_away(&mut workspace);
        }
        for session in &mut sessions {
            session.take_up(&mut workspace);
            session.receive(Leg::Client, b"wo\r\n", Now::default());
            session.receive(Leg::Server, b"250 One.\r\n", Now::default());
            session.put_away(&mut workspace);
            assert!(session.pipeline.is_empty(), "the second is in work");
            session.take_up(&mut workspace);
            assert_eq!(
                drawn(session),
                [r#"Reply(b"250 One.\r\n")"#, "Forward(CWD)"],
                "what waits to be drawn stays its own"
            );
            session.receive(Leg::Server, b"250 Two.\r\n", Now::default());
            assert_eq!(drawn(session), [r#"Reply(b"250 Two.\r\n")"#]);
            session.put_away(&mut workspace);
            assert_eq!(session.actions.capacity(), 0);
            assert_eq!(rooms(&workspace), [true; 6]);
        }
    }
    sessions[0].take_up(&mut workspace);
    assert_eq!(rooms(&workspace), [false; 6]);
}

/// Which memory is there for the next session, the record's apart: a shell gives that back.
fn rooms(workspace: &Workspace) -> [bool; 6] {
    [
        workspace.lines.capacity() > 0,
        workspace.replies.capacity() > 0,
        workspace.out.capacity() > 0,
        workspace.actions.capacity() > 0,
        workspace.queue.capacity() > 0,
        workspace.head.is_some(),
    ]
}

#[test]
fn an_idle_session_holds_no_buffers() {
    let mut session = logged_in();
    session.receive(Leg::Client, &b"SITE x\r\n".repeat(1000), Now::default());
    while !session.pipeline.is_empty() || session.head.is_some() {
        drawn(&mut session);
        session.receive(Leg::Server, b"200 Ok.\r\n", Now::default());
    }
    drawn(&mut session);
    session.put_away(&mut Workspace::default());
    assert_eq!(session.actions.capacity(), 0);
    assert_eq!(session.out.capacity(), 0);
    assert!(session.spare_head.is_none() && session.spare_record.is_none());
    assert!(session.incoming.is_none() && session.transfer.is_none());
    println!("a session has {} bytes", size_of::<Session>());
    assert!(size_of::<Session>() <= 1536);
}

#[test]
fn a_user_is_known_from_the_230_on() {
    let session = logged_in();
    assert_eq!(session.user().map(AsRef::as_ref), Some(b"ann".as_slice()));
    assert_eq!(fresh().user(), None);
}

#[test]
fn timers_run_out_in_their_order() {
    let mut deadlines = Deadlines::default();
    let s = Duration::from_secs;
    deadlines.arm(Timer::Idle, s(0), s(9));
    deadlines.arm(Timer::Reply, s(0), s(5));
    deadlines.arm_once(Timer::Reply, s(0), s(1));
    deadlines.arm(Timer::Login, s(0), s(7));
    deadlines.disarm(Timer::Login);
    assert_eq!(deadlines.next(), Some(s(5)));
    assert_eq!(deadlines.take_due(s(4)), None);
    assert_eq!(deadlines.take_due(s(20)), Some(Timer::Reply));
    assert_eq!(deadlines.take_due(s(20)), Some(Timer::Idle));
    assert_eq!(deadlines.take_due(s(20)), None);
    assert_eq!(deadlines.next(), None);
    deadlines.arm(Timer::Idle, Duration::MAX, s(1));
    assert!(deadlines.next() > Some(s(500 * 365 * 24 * 3600)));
}

#[test]
fn a_run_of_noops_is_one_entry_with_a_bound() {
    let mut pipeline = Pipeline::new(510, 2);
    let runs = usize::from(u16::MAX) + 1;
    pipeline.push(&b"NOOP\r\n".repeat(runs));
    while pipeline.pull(Duration::ZERO) {}
    assert!(!pipeline.is_full());
    pipeline.push(b"NOOP\r\nPWD\r\n");
    while pipeline.pull(Duration::ZERO) {}
    assert!(pipeline.is_full());
    for _ in 0..=runs {
        assert!(matches!(
            pipeline.pop().map(|entry| entry.item),
            Some(Item::Command(_))
        ));
    }
    assert!(pipeline.pop().is_none());
    assert!(pipeline.pull(Duration::ZERO));
    assert!(pipeline.first_if_bare(Verb::Pwd).is_some());
}

#[test]
fn a_queue_is_written_by_its_verbs_alone() {
    let mut pipeline = Pipeline::new(510, 4);
    pipeline.push(b"SITE TOKEN hunter2\r\nPASS\thunter2\r\n");
    while pipeline.pull(Duration::ZERO) {}
    let items: Vec<String> = std::iter::from_fn(|| pipeline.pop())
        .map(|entry| format!("{:?}", entry.item))
        .collect();
    assert_eq!(items, ["Command(SITE)", "Fault(BadVerb, Some(PASS))"]);
}

#[test]
fn the_command_in_work_is_written_by_its_verb_alone() {
    let mut session = logged_in();
    session.receive(Leg::Client, b"SITE TOKEN hunter2\r\n", Now::default());
    let head = session.head.as_deref().unwrap();
    assert_eq!(
        format!("{head:?}"),
        "Head { name: SITE, stage: Forwarded, .. }"
    );
}

#[test]
fn an_audit_that_cannot_be_written_ends_a_session_between_its_commands() {
    let now = Now::default();
    let mut session = logged_in();
    session.receive(Leg::Client, b"SYST\r\n", now);
    session.tell(Told::End(EndReason::Audit), now);
    session.receive(Leg::Client, b"NOOP\r\n", now);
    let done = drawn(&mut session);
    assert!(
        !done.iter().any(|action| action.contains("Reply")),
        "{done:?}"
    );
    session.receive(Leg::Server, b"215 UNIX\r\n", now);
    let done = drawn(&mut session).concat();
    let told = done.find("215 UNIX").unwrap();
    assert!(
        done.find("421 Service not available")
            .is_some_and(|end| told < end),
        "{done}"
    );
    assert!(session.is_over());

    let mut session = logged_in();
    session.tell(Told::End(EndReason::Audit), now);
    session.receive(Leg::Client, b"NOOP\r\n", now);
    let done = drawn(&mut session).concat();
    assert!(done.contains("421 Service not available"), "{done}");
    assert!(!done.contains("NOOP"), "{done}");
}

#[test]
fn what_is_read_ahead_of_a_full_queue_has_a_bound() {
    let mut pipeline = Pipeline::new(510, 1);
    pipeline.push(b"PWD\r\n");
    assert!(pipeline.pull(Duration::ZERO) && pipeline.is_full());
    pipeline.push(&b"x".repeat(64 * 1024 - 1));
    assert!(pipeline.has_room());
    pipeline.push(b"x");
    assert!(!pipeline.has_room());
}

#[test]
fn an_abort_is_marked_once() {
    let mut pipeline = Pipeline::new(510, 2);
    pipeline.push(b"PWD\r\nPWD\r\nABOR\r\nABOR\r\n");
    while pipeline.pull(Duration::ZERO) {}
    assert!(pipeline.has_abort());
    pipeline.mark_abort();
    assert!(!pipeline.has_abort(), "one ahead is enough");
    let mut acted = Vec::new();
    while let Some(entry) = pipeline.pop() {
        acted.push(entry.acted);
        while pipeline.pull(Duration::ZERO) {}
    }
    assert_eq!(acted, [false, false, true, false]);
}

#[test]
fn an_abort_with_an_argument_is_none_to_act_on() {
    let mut pipeline = Pipeline::new(510, 4);
    pipeline.push(b"ABOR x\r\nNOOP\r\n");
    while pipeline.pull(Duration::ZERO) {}
    assert!(!pipeline.has_abort());
}

#[test]
fn only_some_codes_log_in() {
    let code = |value| Code::new(value).unwrap();
    let codes = [120, 200, 202, 220, 230, 231, 232, 234, 331, 530];
    let found: Vec<u16> = codes
        .into_iter()
        .filter(|value| effect::is_login(code(*value)))
        .collect();
    assert_eq!(found, [230, 232]);
}

#[test]
fn new_limits_hold_for_what_waits_already() {
    let mut session = logged_in();
    let idle = |session: &mut Session, minutes| {
        let limits = Limits {
            idle_timeout: Duration::from_mins(minutes),
            ..Limits::default()
        };
        session.tell(Told::LimitsChanged(Arc::new(limits)), Now::default());
        session.deadline()
    };
    let minutes = Duration::from_mins;
    assert_eq!(session.deadline(), Some(minutes(15)));
    assert_eq!(idle(&mut session, 3), Some(minutes(3)));
    assert_eq!(idle(&mut session, 30), Some(minutes(30)));
    let limits = Limits {
        reply_line_bytes: 16,
        ..Limits::default()
    };
    session.tell(Told::LimitsChanged(Arc::new(limits)), Now::default());
    session.receive(Leg::Client, b"NOOP\r\n", Now::default());
    drawn(&mut session);
    session.receive(
        Leg::Server,
        b"200 A line that is too long\r\n",
        Now::default(),
    );
    let broke = b"421 Service not available, the server broke the protocol.\r\n";
    let expected = format!("Reply({:?})", Bytes::from_static(broke));
    assert_eq!(drawn(&mut session).first(), Some(&expected));
}

#[test]
fn new_limits_hold_for_a_reply_that_is_awaited() {
    let mut session = logged_in();
    session.receive(Leg::Client, b"NOOP\r\n", Now::default());
    drawn(&mut session);
    let minutes = Duration::from_mins;
    assert_eq!(session.deadline(), Some(minutes(5)));
    let limits = Limits {
        reply_timeout: minutes(2),
        ..Limits::default()
    };
    session.tell(Told::LimitsChanged(Arc::new(limits)), Now::default());
    assert_eq!(session.deadline(), Some(minutes(2)));
}

#[test]
fn new_limits_hold_for_how_many_commands_may_wait() {
    let mut session = logged_in();
    let limits = Limits {
        pipelined_commands: 2,
        ..Limits::default()
    };
    session.tell(Told::LimitsChanged(Arc::new(limits)), Now::default());
    // One is in work and one waits: there is room for another.
    session.receive(Leg::Client, b"NOOP\r\nPWD\r\n", Now::default());
    assert!(!session.pipeline.is_full());
    session.receive(Leg::Client, b"SYST\r\n", Now::default());
    assert!(session.pipeline.is_full());
}

#[test]
fn new_limits_leave_alone_what_has_a_bound_of_its_own() {
    let mut session = logged_in();
    session.abort = Abort::Sent;
    session.await_abort_reply();
    let limits = |reply_timeout| {
        Arc::new(Limits {
            reply_timeout,
            ..Limits::default()
        })
    };
    let seconds = Duration::from_secs;
    assert_eq!(session.deadline(), Some(seconds(5)));
    session.follow_limits(limits(seconds(600)));
    assert_eq!(session.deadline(), Some(seconds(5)));
    session.follow_limits(limits(seconds(2)));
    assert_eq!(session.deadline(), Some(seconds(2)));
}

#[test]
fn new_limits_hold_for_a_server_that_is_dialled_again() {
    let mut session = fresh();
    drawn(&mut session);
    let limits = Limits {
        reply_line_bytes: 16,
        ..Limits::default()
    };
    session.tell(Told::LimitsChanged(Arc::new(limits)), Now::default());
    session.forget_replies();
    session.tell(connected(), Now::default());
    session.receive(
        Leg::Server,
        b"220 A greeting that is too long\r\n",
        Now::default(),
    );
    let actions = drawn(&mut session);
    assert!(
        actions.iter().any(|action| action.contains("421 ")),
        "{actions:?}"
    );
}

#[test]
fn new_limits_hold_for_a_refusal_that_waits() {
    let mut session = fresh();
    session.tell(connected(), Now::default());
    session.receive(Leg::Server, b"220 Ready.\r\n", Now::default());
    session.receive(Leg::Client, b"USER ann\r\n", Now::default());
    drawn(&mut session);
    session.receive(Leg::Server, b"530 No.\r\n", Now::default());
    assert_eq!(session.deadline(), Some(Duration::from_secs(1)));
    let limits = Limits {
        failed_login_delay: Duration::from_secs(3),
        ..Limits::default()
    };
    session.tell(Told::LimitsChanged(Arc::new(limits)), Now::default());
    assert_eq!(session.deadline(), Some(Duration::from_secs(3)));
}

#[test]
fn a_crowd_of_commands_is_worked_on_some_at_a_time() {
    let mut session = logged_in();
    session.receive(Leg::Client, &b"SMNT x\r\n".repeat(100), Now::default());
    let mut crowds = vec![0];
    while let Some(action) = session.next_action() {
        if let (Action::Note(Fact::Command(_)), Some(crowd)) = (&action, crowds.last_mut()) {
            *crowd += 1;
        }
        if session.pauses() {
            crowds.push(0);
        }
    }
    assert_eq!(crowds, [32, 32, 32, 4]);
    // What waits for a reply is no crowd.
    session.receive(Leg::Client, &b"NOOP\r\n".repeat(100), Now::default());
    assert_eq!(drawn(&mut session), ["Forward(NOOP)"]);
    assert!(!session.pauses());
}
