//! What replies and TLS change: the login and what verdicts depend on.

use ftpwarden::session::Leg;

use super::{Held, Owed, Shadow, is_upload, side};
use crate::ideal::DOWNLOADS;
use crate::replies::Reply;

impl Shadow {
    /// A control connection turns to TLS.
    pub(super) fn turns(&mut self, leg: Leg) -> Held {
        self.turning[side(leg)] = true;
        if leg == Leg::Client {
            law!(
                self.framing.is_empty() && self.owed.is_empty(),
                "L7: what came in clear is kept for TLS"
            );
            self.forget_place();
            self.circumstances.only_epsv = false;
        } else {
            self.server_turns = false;
        }
        Ok(())
    }

    /// What a server forgets with a login.
    fn forget_place(&mut self) {
        self.circumstances.renaming = false;
        self.restart = false;
        self.restart_stale = false;
        self.range = false;
        self.range_stale = false;
    }

    /// What the reply to a command changes.
    pub(super) fn learn(&mut self, owed: &Owed, reply: &Reply) {
        let Some(spoken) = owed.spoken() else { return };
        let argument = spoken.argument.clone().unwrap_or_default();
        let code = reply.code;
        let transfers = is_upload(&spoken.verb) || DOWNLOADS.contains(&spoken.verb.as_str());
        if !owed.forwarded {
            match spoken.verb.as_str() {
                "USER" if code == 331 => self.circumstances.refused = true,
                "RNFR" | "RNTO" => self.circumstances.renaming = false,
                "PROT" if code == 200 => {
                    self.circumstances.private = spoken.text().trim().eq_ignore_ascii_case("P");
                }
                "AUTH" if code == 234 => {
                    let old = ["SSL", "TLS-P"]
                        .contains(&spoken.text().trim().to_ascii_uppercase().as_str());
                    self.circumstances.private = old;
                }
                "EPSV" if code == 200 => self.circumstances.only_epsv = true,
                _ if transfers => {
                    self.restart_stale |= self.restart;
                    self.range_stale |= self.range;
                }
                _ => {}
            }
            return;
        }
        match spoken.verb.as_str() {
            "USER" | "PASS" | "ACCT" if code == 332 => self.wants_account = true,
            "USER" => self.wants_account = false,
            _ => {}
        }
        match spoken.verb.as_str() {
            "USER" if matches!(code, 230 | 232) => {
                self.void();
                self.trying = Some(argument);
                self.log_in();
            }
            "USER" if (300..400).contains(&code) => {
                self.void();
                self.trying = Some(argument);
            }
            "PASS" if self.circumstances.user.is_none() && matches!(code, 202 | 230 | 232) => {
                self.log_in();
            }
            "ACCT"
                if self.circumstances.user.is_none()
                    && (matches!(code, 230 | 232) || code == 202 && self.wants_account) =>
            {
                self.log_in();
            }
            "REIN" if (200..300).contains(&code) => {
                self.void();
                self.circumstances.only_epsv = false;
            }
            "QUIT" if (200..300).contains(&code) => self.left = true,
            "RNFR" => self.circumstances.renaming = (300..400).contains(&code),
            "REST" if (300..400).contains(&code) => {
                self.restart = true;
                self.restart_stale = false;
            }
            "RANG" if (300..400).contains(&code) => {
                self.range = true;
                self.range_stale = false;
            }
            _ => {}
        }
    }

    /// Nobody is logged in any more.
    fn void(&mut self) {
        self.circumstances.user = None;
        self.circumstances.refused = false;
        self.trying = None;
        self.forget_place();
    }

    /// The name that was tried is logged in.
    fn log_in(&mut self) {
        if let Some(name) = &self.trying {
            self.circumstances.user = Some(name.clone());
            self.circumstances.was_in = true;
            self.forget_place();
        }
    }
}
