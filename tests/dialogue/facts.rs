//! Facts as one line each, for conversations to name.

use ftpwarden::ftp::command::Name;
use ftpwarden::policy::PolicySet;
use ftpwarden::policy::verdict::RuleId;
use ftpwarden::session::{Fact, Leg};

/// What `fact` says, in the words of metrics and logs.
pub(crate) fn describe(fact: &Fact, policies: &PolicySet) -> String {
    let name = |name: &Name| format!("{name:?}");
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or_else(|| "-".into(), |bytes| bytes.escape_ascii().to_string())
    };
    let side = |leg: Leg| match leg {
        Leg::Client => "client",
        Leg::Server => "server",
    };
    match fact {
        Fact::ClientFault(fault) => format!("ClientFault {}", fault.kind()),
        Fact::Closing(reason) => format!("Closing {}", reason.name()),
        Fact::Command(record) => {
            let rule = |id: Option<RuleId>| {
                id.map_or_else(
                    || "-".to_owned(),
                    |id| {
                        let info = policies.rule(id);
                        format!("{}/{}", info.policy, info.rule)
                    },
                )
            };
            format!(
                "Command {} {} {} {} by {} upstream {} observed {} argument {} path {}",
                record.name.as_ref().map_or_else(|| "-".into(), name),
                record.outcome.name(),
                record
                    .code
                    .map_or_else(|| "-".into(), |code| code.to_string()),
                record.origin.name(),
                rule(record.decided),
                rule(record.upstream),
                rule(record.observed),
                if record.secret {
                    "***".into()
                } else {
                    text(record.argument.as_deref())
                },
                text(record.path.as_deref()),
            )
        }
        Fact::DataConnection { leg, form, outcome } => format!(
            "DataConnection {} {} {}",
            side(*leg),
            form.name(),
            outcome.name()
        ),
        Fact::Greeted => "Greeted".into(),
        Fact::HandshakeTimeout { leg, channel } => {
            format!("HandshakeTimeout {} {}", side(*leg), channel.name())
        }
        Fact::Login { user, outcome } => {
            format!("Login {} {}", text(Some(user)), outcome.name())
        }
        Fact::Reply { code, origin } => format!("Reply {code} {}", origin.name()),
        Fact::ServerFault(fault) => format!("ServerFault {}", fault.kind()),
        Fact::ServerReply { code } => format!("ServerReply {code}"),
        Fact::TransferBegan {
            direction,
            name: verb,
            path,
            offset,
        } => format!(
            "TransferBegan {} {} path {} offset {offset}",
            direction.name(),
            name(verb),
            text(path.as_deref())
        ),
        Fact::TransferEnded {
            direction,
            name: verb,
            path,
            bytes,
            outcome,
            ..
        } => format!(
            "TransferEnded {} {} {} bytes {bytes} path {}",
            direction.name(),
            name(verb),
            outcome.name(),
            text(path.as_deref())
        ),
        Fact::UserVoided => "UserVoided".into(),
    }
}
