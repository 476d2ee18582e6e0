//! The rows of the table: what is done, what counts, and what must come out.

use std::io;
use std::time::Duration;

use crate::client::Door;
use crate::idle;
use crate::load::{self, Load, Scale};
use crate::subjects::{Kind, Subject, World};

/// A column of figures that a row gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Digits behind the point.
    pub(crate) digits: usize,
    /// What it is.
    what: What,
}

impl Figure {
    /// What counts of all rounds: the median, or the worst where one is too many.
    pub(crate) fn of(self, mut rounds: Vec<f64>) -> Option<f64> {
        rounds.sort_by(f64::total_cmp);
        let at = match self.what {
            What::Lost => rounds.len().checked_sub(1)?,
            _ => rounds.len() / 2,
        };
        rounds.get(at).copied()
    }
}

/// What a figure is.
#[derive(Clone, Copy, Debug)]
enum What {
    /// Seconds of the proxy's time for a unit of work, times a factor.
    Time(f64),
    /// The proxy's memory for a session that does nothing, in KiB.
    Memory,
    /// The same with the kernel's.
    Charged,
    /// Units per second.
    Rate,
    /// The median of single operations, in µs.
    Latency,
    /// How much slower a command is while all the sessions are held.
    Slowdown,
    /// Clients that got nothing; the worst round counts.
    Lost,
}

/// What the gateway must do: `figure` is at most, or at least, `bound` times what `against` has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Which figure of the row.
    pub(crate) figure: usize,
    /// Whose figure is compared; none: the bound stands by itself.
    pub(crate) against: Option<Kind>,
    /// What is subtracted from both first: the figure without anything in between.
    pub(crate) beyond: Option<Kind>,
    /// The bound.
    pub(crate) bound: f64,
    /// More is better.
    pub(crate) at_least: bool,
    /// Wished for, not demanded.
    pub(crate) aim: bool,
}

/// Demanded: at most `bound` times the first figure of `kind`.
const fn at_most(bound: f64, kind: Kind) -> Target {
    Target {
        figure: 0,
        against: Some(kind),
        beyond: None,
        bound,
        at_least: false,
        aim: false,
    }
}

/// Demanded: at most `bound`, of figure `figure`.
const fn below(bound: f64, figure: usize) -> Target {
    Target {
        figure,
        against: None,
        beyond: None,
        bound,
        at_least: false,
        aim: false,
    }
}

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// In clear.
    Clear,
    /// FTPS.
    Secured,
    /// FTPS without resuming a session.
    Unresumed,
}

/// One row.
pub(crate) struct Row {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it says in the table.
    pub(crate) title: &'static str,
    /// Its figures, the one that counts first.
    pub(crate) figures: &'static [Figure],
    /// What clients do; None where they do nothing.
    load: Option<Load>,
    /// How clients speak.
    speech: Speech,
    /// What must come out.
    pub(crate) targets: &'static [Target],
    /// Rounds beyond these add nothing but time.
    pub(crate) rounds: usize,
    /// Who cannot do it, or tells nothing by it.
    without: &'static [Kind],
    /// It is in the plot.
    pub(crate) is_drawn: bool,
}

/// What one measurement gave; a figure that does not apply is not there.
pub(crate) type Sample = Vec<Option<f64>>;

impl Row {
    /// Measures a subject once. None: it does not do this.
    pub(crate) fn measure(
        &self,
        subject: &Subject,
        world: &World,
        scale: Scale,
    ) -> io::Result<Option<Sample>> {
        if self.without.contains(&subject.kind) {
            return Ok(None);
        }
        let Some(load) = self.load else {
            let held = idle::measure(subject.kind, self.speech, world, scale)?;
            return Ok(Some(self.sample(|what| match what {
                What::Memory => Some(held.memory),
                What::Charged => held.charged,
                What::Slowdown => Some(held.slowdown),
                _ => None,
            })));
        };
        let Some(door) = door(subject, self.speech, world)? else {
            return Ok(None);
        };
        let measured = load(&door, scale)?;
        let before = subject.cpu();
        let (outcome, clients) = measured()?;
        let after = subject.cpu();
        drop(clients);
        subject.rest();
        let used = after
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before));
        Ok(Some(self.sample(|what| match what {
            What::Time(factor) => Some(used?.as_secs_f64() * factor / outcome.units),
            What::Rate => Some(outcome.units / outcome.seconds),
            What::Latency => outcome.p50.map(micros),
            What::Lost => Some(outcome.lost as f64),
            What::Memory | What::Charged | What::Slowdown => None,
        })))
    }

    /// The row's figures.
    fn sample(&self, give: impl Fn(What) -> Option<f64>) -> Sample {
        self.figures
            .iter()
            .map(|figure| give(figure.what).filter(|value| value.is_finite()))
            .collect()
    }
}

/// Where a row's clients go.
pub(crate) fn door(subject: &Subject, speech: Speech, world: &World) -> io::Result<Option<Door>> {
    if speech == Speech::Clear {
        return Ok(Some(subject.clear.clone()));
    }
    let mut door = subject.secured.clone();
    if let (Speech::Unresumed, Some(tls)) =
        (speech, door.as_mut().and_then(|door| door.tls.as_mut()))
    {
        tls.config = crate::certificates::client(&world.folder, false)?;
    }
    Ok(door)
}

/// In microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A figure.
const fn figure(unit: &'static str, digits: usize, what: What) -> Figure {
    Figure { unit, digits, what }
}

/// Figures of a bulk row.
const BULK: &[Figure] = &[
    figure("CPU s/GiB", 2, What::Time(1.0)),
    figure("GiB/s", 2, What::Rate),
];
/// Figures of a row whose operations are timed one by one.
const COMMAND: &[Figure] = &[
    figure("CPU µs", 1, What::Time(1e6)),
    figure("p50 µs", 1, What::Latency),
];
/// Figures of a row of small files.
const FILES: &[Figure] = &[
    figure("CPU µs", 0, What::Time(1e6)),
    figure("files/s", 0, What::Rate),
];
/// Figures of a row of handshakes.
const HANDSHAKE: &[Figure] = &[
    figure("CPU ms", 2, What::Time(1e3)),
    figure("cycles/s", 0, What::Rate),
];
/// Figures of a row of idle sessions.
const IDLE: &[Figure] = &[
    figure("PSS KiB", 1, What::Memory),
    figure("× NOOP p50", 2, What::Slowdown),
    figure("cgroup KiB", 1, What::Charged),
];

/// A row of the bulk transfers.
const fn bulk(
    name: &'static str,
    title: &'static str,
    load: Load,
    speech: Speech,
    targets: &'static [Target],
) -> Row {
    Row {
        name,
        title,
        figures: BULK,
        load: Some(load),
        speech,
        targets,
        rounds: usize::MAX,
        without: &[],
        is_drawn: true,
    }
}

/// What bulk transfers in clear must cost.
const BULK_TARGETS: &[Target] = &[at_most(1.05, Kind::Relay)];
/// What they must cost with TLS in front.
const FTPS_TARGETS: &[Target] = &[at_most(1.05, Kind::Relay), at_most(0.6, Kind::ModProxy)];

/// Every row.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "login",
        title: "login cycle, 64 at once",
        figures: &[
            figure("CPU µs", 0, What::Time(1e6)),
            figure("cycles/s", 0, What::Rate),
        ],
        load: Some(load::logins),
        speech: Speech::Clear,
        targets: &[
            at_most(1.0, Kind::Haproxy),
            Target {
                aim: true,
                ..at_most(1.15, Kind::Relay)
            },
            Target {
                figure: 1,
                at_least: true,
                ..at_most(20.0, Kind::ModProxy)
            },
        ],
        rounds: usize::MAX,
        without: &[],
        is_drawn: true,
    },
    Row {
        name: "noop",
        title: "NOOP round trip",
        figures: COMMAND,
        load: Some(load::noops),
        speech: Speech::Clear,
        targets: &[
            at_most(0.8, Kind::Haproxy),
            Target {
                figure: 1,
                beyond: Some(Kind::Direct),
                ..at_most(1.1, Kind::Relay)
            },
        ],
        rounds: usize::MAX,
        without: &[],
        is_drawn: true,
    },
    Row {
        name: "site",
        title: "refused SITE",
        figures: COMMAND,
        load: Some(load::refusals),
        speech: Speech::Clear,
        targets: &[at_most(1.0, Kind::Suse)],
        rounds: usize::MAX,
        without: &[Kind::Direct, Kind::Relay, Kind::Haproxy],
        is_drawn: false,
    },
    Row {
        name: "retr-64k",
        title: "RETR of 64 KiB, 16 at once",
        figures: FILES,
        load: Some(load::small_files),
        speech: Speech::Clear,
        targets: &[at_most(1.0, Kind::Haproxy)],
        rounds: usize::MAX,
        without: &[],
        is_drawn: true,
    },
    bulk(
        "retr",
        "RETR bulk, 1 stream",
        load::download,
        Speech::Clear,
        BULK_TARGETS,
    ),
    bulk(
        "retr-4",
        "RETR bulk, 4 streams",
        load::downloads,
        Speech::Clear,
        BULK_TARGETS,
    ),
    bulk(
        "stor",
        "STOR bulk, 1 stream",
        load::upload,
        Speech::Clear,
        BULK_TARGETS,
    ),
    bulk(
        "stor-4",
        "STOR bulk, 4 streams",
        load::uploads,
        Speech::Clear,
        BULK_TARGETS,
    ),
    bulk(
        "ftps-retr",
        "FTPS in front of clear, RETR bulk",
        load::download,
        Speech::Secured,
        FTPS_TARGETS,
    ),
    bulk(
        "ftps-stor",
        "FTPS in front of clear, STOR bulk",
        load::upload,
        Speech::Secured,
        FTPS_TARGETS,
    ),
    Row {
        name: "ftps-64k",
        title: "FTPS, RETR of 64 KiB, data handshake full",
        figures: FILES,
        load: Some(load::small_files),
        speech: Speech::Unresumed,
        targets: &[],
        rounds: usize::MAX,
        without: &[Kind::ModProxy],
        is_drawn: false,
    },
    Row {
        name: "ftps-64k-resumed",
        title: "FTPS, RETR of 64 KiB, data handshake resumed",
        figures: FILES,
        load: Some(load::resumed_files),
        speech: Speech::Secured,
        targets: &[],
        rounds: usize::MAX,
        without: &[Kind::ModProxy],
        is_drawn: false,
    },
    Row {
        name: "ftps-login",
        title: "FTPS login, full handshake",
        figures: HANDSHAKE,
        load: Some(load::handshakes),
        speech: Speech::Unresumed,
        targets: &[below(1.0, 0)],
        rounds: usize::MAX,
        without: &[],
        is_drawn: true,
    },
    Row {
        name: "ftps-resumed",
        title: "FTPS login, resumed",
        figures: HANDSHAKE,
        load: Some(load::resumptions),
        speech: Speech::Secured,
        targets: &[below(0.4, 0)],
        rounds: usize::MAX,
        without: &[],
        is_drawn: false,
    },
    Row {
        name: "idle",
        title: "idle session",
        figures: IDLE,
        load: None,
        speech: Speech::Clear,
        targets: &[
            below(3.3, 0),
            Target {
                aim: true,
                ..below(2.0, 0)
            },
            below(1.15, 1),
            below(8.6, 2),
        ],
        rounds: 3,
        without: &[Kind::Direct],
        is_drawn: false,
    },
    Row {
        name: "idle-ftps",
        title: "idle session, TLS on the client leg",
        figures: IDLE,
        load: None,
        speech: Speech::Secured,
        targets: &[below(20.0, 0)],
        rounds: 1,
        without: &[Kind::Direct, Kind::Haproxy, Kind::Suse],
        is_drawn: false,
    },
    Row {
        name: "burst",
        title: "connections at once, greeted",
        figures: &[
            figure("greeted/s", 0, What::Rate),
            figure("CPU µs", 0, What::Time(1e6)),
            figure("lost", 0, What::Lost),
        ],
        load: Some(load::burst),
        speech: Speech::Clear,
        targets: &[
            Target {
                at_least: true,
                ..at_most(1.0, Kind::Haproxy)
            },
            below(0.0, 2),
        ],
        rounds: usize::MAX,
        // Its daemon ends for good when so many come.
        without: &[Kind::Suse],
        is_drawn: false,
    },
];
