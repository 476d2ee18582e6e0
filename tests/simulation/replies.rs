//! An independent reader of replies (RFC 959 §4.2).

/// A whole reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reply {
    /// Its code.
    pub(crate) code: u16,
    /// As a client may see it.
    pub(crate) bytes: Vec<u8>,
    /// Its first line.
    pub(crate) first: Vec<u8>,
    /// When its first byte came.
    pub(crate) began: usize,
}

/// A reply that has begun.
#[derive(Debug)]
struct Open {
    /// What is known of it.
    reply: Reply,
    /// How many bytes of it came.
    taken: usize,
}

/// Cuts a stream into replies.
#[derive(Debug)]
pub(crate) struct Replies {
    /// What is no line yet.
    held: Vec<u8>,
    /// When its first byte came.
    began: usize,
    /// The reply that is open.
    open: Option<Open>,
    /// The longest line, and the longest reply.
    bounds: (usize, usize),
    /// Whether the stream is no stream of replies.
    broken: bool,
}

impl Replies {
    /// Of lines and replies within `bounds`.
    pub(crate) const fn new(bounds: (usize, usize)) -> Self {
        Self {
            held: Vec::new(),
            began: 0,
            open: None,
            bounds,
            broken: false,
        }
    }

    /// Whether the stream is no stream of replies, or beyond its bounds.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a reply has begun and not ended.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some() || !self.held.is_empty()
    }

    /// The replies that `bytes`, which came at the time `now`, end.
    pub(crate) fn push(&mut self, bytes: &[u8], now: usize) -> Vec<Reply> {
        let mut ended = Vec::new();
        for byte in bytes {
            if self.broken {
                break;
            }
            if self.held.is_empty() {
                self.began = now;
            }
            self.held.push(*byte);
            if self.held.len() > self.bounds.0 {
                self.broken = true;
            } else if *byte == b'\n' {
                let line = std::mem::take(&mut self.held);
                ended.extend(self.line(&line));
            }
        }
        // A line that cannot end within its bound any more.
        self.broken |= self.held.len() >= self.bounds.0;
        ended
    }

    /// Takes a line.
    fn line(&mut self, line: &[u8]) -> Option<Reply> {
        let stripped = strip(line);
        let head = head(stripped);
        let Some(mut open) = self.open.take() else {
            let Some((code, continues)) = head else {
                self.broken = true;
                return None;
            };
            let reply = Reply {
                code,
                bytes: clean(stripped),
                first: clean(stripped),
                began: self.began,
            };
            return self.keep(
                Open {
                    reply,
                    taken: line.len(),
                },
                !continues,
            );
        };
        let last = head == Some((open.reply.code, false));
        open.taken += line.len();
        let seen = if last { stripped } else { line };
        open.reply.bytes.extend(clean(seen));
        self.keep(open, last)
    }

    /// Keeps a reply, or gives it out where it is whole.
    fn keep(&mut self, open: Open, whole: bool) -> Option<Reply> {
        if open.taken > self.bounds.1 {
            self.broken = true;
            return None;
        }
        if whole {
            return Some(open.reply);
        }
        self.open = Some(open);
        None
    }
}

/// The code that a line begins with, and whether a hyphen follows.
fn head(line: &[u8]) -> Option<(u16, bool)> {
    let [first @ b'1'..=b'6', second, third, rest @ ..] = line else {
        return None;
    };
    let digits = [*first, *second, *third];
    let code = std::str::from_utf8(&digits).ok()?;
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let continues = match rest {
        [b'-', ..] => true,
        [b' ', ..] | b"\r\n" | b"\n" => false,
        _ => return None,
    };
    Some((code.parse().ok()?, continues))
}

/// `line` without the Telnet commands in front.
fn strip(mut line: &[u8]) -> &[u8] {
    loop {
        line = match line {
            [0xFF, 0xFB..=0xFE, _, rest @ ..] | [0xFF, 0xF0..=0xF9, rest @ ..] => rest,
            [0xFF, 0xFA, rest @ ..] => {
                match rest.windows(2).position(|pair| pair == [0xFF, 0xF0]) {
                    Some(end) => &rest[end + 2..],
                    None => return line,
                }
            }
            _ => return line,
        };
    }
}

/// `line` without what a client could take for the end of a line.
fn clean(line: &[u8]) -> Vec<u8> {
    let content = line.strip_suffix(b"\n").unwrap();
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    let mut cleaned: Vec<u8> = content
        .iter()
        .map(|byte| {
            if matches!(byte, b'\r' | 0) {
                b'?'
            } else {
                *byte
            }
        })
        .collect();
    cleaned.extend(&line[content.len()..]);
    cleaned
}
