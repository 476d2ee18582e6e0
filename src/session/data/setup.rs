//! How data connections are set up: PASV, EPSV, PORT and EPRT translated between the legs
//! (RFC 2428, RFC 6384).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::super::state::{Head, Stage};
use super::super::{
    Action, DataForm, DataMode, DataOutcome, End, Fact, Leg, Origin, Outcome, OwnCommand, Session,
};
use super::Endpoint;
use crate::ftp::address::{self, Family};
use crate::ftp::command::Name;
use crate::ftp::misbehaviour::ServerFault;
use crate::ftp::reply::Code;
use crate::ftp::verb::Verb;

/// The lowest port that a data connection may go to (RFC 2577 §3).
const LOWEST_PORT: u16 = 1024;

/// A data connection that is being set up for the client's PASV, EPSV, PORT or EPRT.
#[derive(Debug)]
pub(in crate::session) struct Setup {
    /// How the client asked.
    form: DataForm,
    /// Where the client listens.
    target: Option<SocketAddr>,
    /// What is waited for.
    step: Step,
    /// The address offered to the server, in active mode.
    offered: Option<SocketAddr>,
}

/// What a setup waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// The server's reply.
    Asked(DataForm),
    /// A listener for the client.
    OfferingClient,
    /// A listener for the server.
    OfferingServer(DataForm),
}

impl Setup {
    /// Whether the server has been asked for its part.
    pub(in crate::session) const fn has_asked(&self) -> bool {
        !matches!(self.step, Step::OfferingServer(_))
    }

    /// Whether the server owes a reply.
    pub(in crate::session) const fn awaits_reply(&self) -> bool {
        matches!(self.step, Step::Asked(_))
    }
}

impl Session {
    /// Begins to set up data connections for the client's command. The former ones go on both
    /// legs, the server is asked first: its refusal is then the reply to this command.
    pub(in crate::session) fn prepare(
        &mut self,
        mut head: Box<Head>,
        form: DataForm,
        target: Option<SocketAddr>,
    ) {
        if self.place.only_epsv && form != DataForm::Epsv {
            self.answer(
                head,
                501,
                "Only EPSV is allowed after EPSV ALL.",
                Outcome::Invalid,
            );
            return;
        }
        if form == DataForm::Pasv && Family::of(self.client.ip()) == Family::V6 {
            // 227 has no room for the address, and one must never be made up.
            self.answer(head, 501, "PASV is for IPv4, use EPSV.", Outcome::Invalid);
            return;
        }
        self.drop_data(End::Reset);
        let towards_server = self.server_form(form);
        let active = matches!(towards_server, DataForm::Port | DataForm::Eprt);
        if self
            .judge
            .is_unsupported(&Name::Known(verb_of(towards_server)))
        {
            self.answer(head, 502, "Command not implemented.", Outcome::Denied);
            return;
        }
        if active && !self.login.is_in() {
            // No listener is opened for somebody who is not logged in.
            self.answer(
                head,
                530,
                "Please login with USER and PASS.",
                Outcome::Answered,
            );
            return;
        }
        let step = if active {
            Step::OfferingServer(towards_server)
        } else {
            Step::Asked(towards_server)
        };
        self.data.client.form = form;
        self.data.server.form = towards_server;
        head.stage = Stage::Preparing(Setup {
            form,
            target,
            step,
            offered: None,
        });
        self.head = Some(head);
        match towards_server {
            DataForm::Epsv => self.ask(OwnCommand::Epsv),
            DataForm::Pasv => self.ask(OwnCommand::Pasv),
            DataForm::Eprt | DataForm::Port => {
                self.offer(Leg::Server, self.server_family());
            }
        }
    }

    /// The family of the server's control connection.
    fn server_family(&self) -> Family {
        self.server
            .map_or(Family::V4, |server| Family::of(server.ip()))
    }

    /// How the server is asked, for a client that asked in `form`.
    fn server_form(&self, form: DataForm) -> DataForm {
        let wanted = match self.profile.data_mode {
            DataMode::Active => DataForm::Port,
            DataMode::ExtendedPassive => DataForm::Epsv,
            DataMode::Match => form,
            DataMode::Passive => DataForm::Pasv,
        };
        let lacks = |verb| self.judge.is_unsupported(&Name::Known(verb));
        match (wanted, self.server_family()) {
            (DataForm::Pasv, Family::V6) => DataForm::Epsv,
            (DataForm::Port, Family::V6) => DataForm::Eprt,
            (DataForm::Epsv, Family::V4) if self.data.lacks_epsv || lacks(Verb::Epsv) => {
                DataForm::Pasv
            }
            (DataForm::Eprt, Family::V4) if self.data.lacks_eprt || lacks(Verb::Eprt) => {
                DataForm::Port
            }
            (DataForm::Pasv, Family::V4) if lacks(Verb::Pasv) => DataForm::Epsv,
            (DataForm::Port, Family::V4) if lacks(Verb::Port) => DataForm::Eprt,
            (form, _) => form,
        }
    }

    /// The setup in work.
    pub(in crate::session) fn setup(&mut self) -> Option<&mut Setup> {
        match self.head.as_deref_mut() {
            Some(Head {
                stage: Stage::Preparing(setup),
                ..
            }) => Some(setup),
            Some(_) | None => None,
        }
    }

    /// Asks for a listener.
    fn offer(&mut self, leg: Leg, family: Family) {
        self.data.offering = Some(leg);
        self.push(Action::Offer { leg, family });
    }

    /// A listener is there.
    pub(in crate::session) fn offer_ready(&mut self, leg: Leg, address: SocketAddr) {
        self.data.offering = None;
        let step = self.setup().map(|setup| setup.step);
        match (leg, step) {
            (Leg::Server, Some(Step::OfferingServer(form))) => {
                self.data.server.endpoint = Endpoint::Listening;
                self.data.turned_away = false;
                if let Some(setup) = self.setup() {
                    setup.offered = Some(address);
                }
                self.ask_active(form, address);
            }
            (Leg::Client, Some(Step::OfferingClient)) => {
                self.data.client.endpoint = Endpoint::Listening;
                self.answer_offer(address);
            }
            _ => self.push(Action::EndData {
                leg,
                end: End::Reset,
            }),
        }
    }

    /// Tells the server where the gateway listens.
    fn ask_active(&mut self, form: DataForm, address: SocketAddr) {
        if let Some(setup) = self.setup() {
            setup.step = Step::Asked(form);
        }
        self.data.server.form = form;
        self.ask(match form {
            DataForm::Port => OwnCommand::Port(address),
            DataForm::Eprt | DataForm::Epsv | DataForm::Pasv => OwnCommand::Eprt(address),
        });
    }

    /// No port could be listened on.
    pub(in crate::session) fn offer_failed(&mut self, leg: Leg) {
        self.data.offering = None;
        self.note_data(leg, DataOutcome::Failed);
        if self.setup().is_some() {
            self.drop_data(End::Reset);
            self.answer_head(
                425,
                "No port is free for a data connection.",
                Outcome::Answered,
            );
        }
    }

    /// The server answered its PASV, EPSV, PORT or EPRT.
    pub(in crate::session) fn take_setup(&mut self, code: Code, held: &Bytes, first: &Bytes) {
        let Some(setup) = self.setup() else { return };
        let Step::Asked(asked) = setup.step else {
            return;
        };
        if code.class() == 2 {
            if let Some(endpoint) = self.server_endpoint(asked, code, first) {
                self.data.server.endpoint = endpoint;
                self.server_prepared();
            } else {
                self.note(Fact::ServerFault(ServerFault::BadAddress));
                self.drop_data(End::Reset);
                self.answer_head(425, "Can't open data connection.", Outcome::Forwarded);
            }
        } else if !self.fall_back(asked, code) {
            self.drop_data(End::Reset);
            self.finish_held(code.value(), held, Origin::Server);
        }
    }

    /// What a positive reply to `asked` means; None where it is of no use.
    fn server_endpoint(&mut self, asked: DataForm, code: Code, line: &[u8]) -> Option<Endpoint> {
        let server = self.server?.ip();
        let target = match asked {
            // Some servers dial before they answer: the connection is there already.
            DataForm::Eprt | DataForm::Port => return Some(self.data.server.endpoint),
            DataForm::Epsv if code.value() == 229 => {
                SocketAddr::new(server, address::parse_229(line)?)
            }
            DataForm::Pasv if code.value() == 227 => {
                let stated = address::parse_227(line)?;
                SocketAddr::new(self.data_host(server, stated.ip()), stated.port())
            }
            DataForm::Epsv | DataForm::Pasv => return None,
        };
        (target.port() >= LOWEST_PORT).then_some(Endpoint::Target(target))
    }

    /// The host that is dialled when a 227 states `stated`: the server's own, whatever it says,
    /// unless the operator named another (CVE-2020-8284).
    fn data_host(&mut self, server: IpAddr, stated: IpAddr) -> IpAddr {
        if stated == server || self.profile.data_addresses.contains(&stated) {
            return stated;
        }
        self.note(Fact::ServerFault(ServerFault::ForeignAddress));
        server
    }

    /// Asks in the old form where the server does not know the extended one and may be sent the
    /// old one; once in a session, since the extended one is not tried again.
    fn fall_back(&mut self, asked: DataForm, code: Code) -> bool {
        if self.server_family() == Family::V6
            || !matches!(code.value(), 500 | 501 | 502 | 504 | 522)
        {
            return false;
        }
        let lacks = |verb| self.judge.is_unsupported(&Name::Known(verb));
        match asked {
            DataForm::Epsv if !lacks(Verb::Pasv) => {
                self.data.lacks_epsv = true;
                self.data.server.form = DataForm::Pasv;
                if let Some(setup) = self.setup() {
                    setup.step = Step::Asked(DataForm::Pasv);
                }
                self.ask(OwnCommand::Pasv);
                true
            }
            DataForm::Eprt if !lacks(Verb::Port) => {
                self.data.lacks_eprt = true;
                let Some(offered) = self.setup().and_then(|setup| setup.offered) else {
                    return false;
                };
                self.ask_active(DataForm::Port, offered);
                true
            }
            DataForm::Epsv | DataForm::Eprt | DataForm::Pasv | DataForm::Port => false,
        }
    }

    /// The server's side is set up: now the client's.
    fn server_prepared(&mut self) {
        let Some(setup) = self.setup() else { return };
        if let Some(target) = setup.target {
            let text = if setup.form == DataForm::Port {
                "PORT command successful."
            } else {
                "EPRT command successful."
            };
            self.data.client.endpoint = Endpoint::Target(target);
            if self.data.server.endpoint == Endpoint::Listening {
                self.watch_offers();
            }
            self.answer_head(200, text, Outcome::Forwarded);
        } else {
            setup.step = Step::OfferingClient;
            self.offer(Leg::Client, Family::of(self.data.local.ip()));
        }
    }

    /// Tells the client where the gateway listens, in the form that it asked in.
    fn answer_offer(&mut self, address: SocketAddr) {
        let extended = self.data.client.form == DataForm::Epsv;
        let line = if extended {
            Some(address::render_229(address.port()))
        } else {
            address::render_227(address)
        };
        let Some(line) = line else {
            self.drop_data(End::Reset);
            self.answer_head(425, "No address for a data connection.", Outcome::Forwarded);
            return;
        };
        self.watch_offers();
        self.finish_held(if extended { 229 } else { 227 }, &line, Origin::Gateway);
    }
}

/// The verb that asks for a data connection in `form`.
const fn verb_of(form: DataForm) -> Verb {
    match form {
        DataForm::Eprt => Verb::Eprt,
        DataForm::Epsv => Verb::Epsv,
        DataForm::Pasv => Verb::Pasv,
        DataForm::Port => Verb::Port,
    }
}
