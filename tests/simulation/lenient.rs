//! Servers that are careless about where a line ends and what of it counts, modelled on real
//! ones: whatever they take from the gateway's lines must be what policy judged.

/// A careless reader of commands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lenient {
    /// inetutils and its kin: Telnet commands are dropped, a buffer of 511 bytes is a line.
    Bsd,
    /// IIS: blanks and TABs in front are passed over, a line is cut at NUL, any control byte is
    /// a blank.
    Iis,
    /// ProFTPD: TAB, VT, FF and CR are blanks, blanks in front are passed over.
    Proftpd,
    /// vsftpd: a line ends at LF, CRs before it are dropped.
    Vsftpd,
}

/// All of them.
pub(crate) const ALL: [Lenient; 4] = [
    Lenient::Bsd,
    Lenient::Iis,
    Lenient::Proftpd,
    Lenient::Vsftpd,
];

/// What a server takes for one command: its verb in upper case, and what follows.
pub(crate) type Taken = (Vec<u8>, Vec<u8>);

impl Lenient {
    /// The commands that it takes from `wire`.
    pub(crate) fn read(self, wire: &[u8]) -> Vec<Taken> {
        let lines: Vec<Vec<u8>> = match self {
            Self::Vsftpd => wire
                .split_inclusive(|byte| *byte == b'\n')
                .map(|line| {
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    let end = line.iter().rposition(|byte| *byte != b'\r');
                    line[..end.map_or(0, |end| end + 1)].to_vec()
                })
                .flat_map(|line| {
                    line.split(|byte| *byte == 0)
                        .map(<[u8]>::to_vec)
                        .collect::<Vec<_>>()
                })
                .collect(),
            Self::Proftpd => without_telnet(wire, true)
                .split(|byte| *byte == b'\n')
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
                .collect(),
            Self::Bsd => without_telnet(wire, false)
                .split(|byte| matches!(byte, b'\n' | b'\r' | 0))
                .flat_map(|line| line.chunks(511).map(<[u8]>::to_vec).collect::<Vec<_>>())
                .collect(),
            Self::Iis => wire
                .split(|byte| matches!(byte, b'\n' | b'\r'))
                .map(|line| {
                    line.split(|byte| *byte == 0)
                        .next()
                        .unwrap_or_default()
                        .to_vec()
                })
                .collect(),
        };
        lines.iter().filter_map(|line| self.command(line)).collect()
    }

    /// The command in a line.
    fn command(self, line: &[u8]) -> Option<Taken> {
        let blank = |byte: &u8| match self {
            Self::Vsftpd | Self::Bsd => *byte == b' ',
            Self::Proftpd => matches!(byte, b' ' | b'\t' | 0x0B | 0x0C | b'\r'),
            Self::Iis => *byte <= b' ',
        };
        let start = line.iter().position(|byte| !blank(byte))?;
        let line = &line[start..];
        let end = line.iter().position(blank).unwrap_or(line.len());
        let rest = line.get(end + 1..).unwrap_or_default();
        Some((line[..end].to_ascii_uppercase(), rest.to_vec()))
    }
}

/// `wire` without Telnet commands; `keeps`: those of two bytes that are no negotiation stay.
fn without_telnet(wire: &[u8], keeps: bool) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = wire;
    loop {
        rest = match rest {
            [] => return kept,
            [0xFF, 0xFF, rest @ ..] => {
                kept.push(0xFF);
                rest
            }
            [0xFF, 0xFB..=0xFE, _, rest @ ..] => rest,
            [0xFF, 0xF0..=0xFA, rest @ ..] => rest,
            [0xFF, byte, rest @ ..] => {
                if keeps {
                    kept.extend([0xFF, *byte]);
                }
                rest
            }
            [byte, rest @ ..] => {
                kept.push(*byte);
                rest
            }
        };
    }
}

/// Whether `reader` takes from `line` just the one command that it was judged as.
///
/// # Errors
/// What it takes instead.
pub(crate) fn agrees(reader: Lenient, line: &[u8], judged: (&str, &[u8])) -> Result<(), String> {
    let taken = reader.read(line);
    let [(verb, argument)] = taken.as_slice() else {
        return Err(format!(
            "{reader:?} takes {} commands from {}",
            taken.len(),
            line.escape_ascii()
        ));
    };
    // Those that know Telnet undo the doubling, the others see two bytes: no server sees none.
    let folded = |bytes: &[u8]| -> Vec<u8> {
        let mut folded = bytes.to_vec();
        folded.dedup_by(|one, other| *one == 0xFF && *other == 0xFF);
        folded
    };
    let same = verb == judged.0.as_bytes() && folded(argument) == folded(judged.1);
    same.then_some(()).ok_or_else(|| {
        format!(
            "{reader:?} takes {} {} for {} {}",
            verb.escape_ascii(),
            argument.escape_ascii(),
            judged.0,
            judged.1.escape_ascii()
        )
    })
}
