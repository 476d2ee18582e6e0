//! What a session works with while it is at work, and holds none of while it waits.
//!
//! Owns which of a session's memory may serve another one: all that holds nothing at the moment.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::pipeline::Entry;
use super::state::Head;
use super::{Action, CommandRecord, Session};

/// Memory for one session at a time. Whoever drives sessions has one for all of them, so that a
/// command takes none and a session that waits holds none.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Where the client's lines are read into.
    pub(super) lines: BytesMut,
    /// Where the server's are.
    pub(super) replies: BytesMut,
    /// Where lines are written.
    pub(super) out: BytesMut,
    /// Actions to be drawn.
    pub(super) actions: VecDeque<Action>,
    /// Commands that wait.
    pub(super) queue: VecDeque<Entry>,
    /// A command in work.
    pub(super) head: Option<Box<Head>>,
    /// Its record.
    record: Option<Box<CommandRecord>>,
}

impl Session {
    /// Works with `workspace` until [`Session::put_away`]; what is in use stays.
    pub fn take_up(&mut self, workspace: &mut Workspace) {
        self.pipeline
            .take_up(&mut workspace.queue, &mut workspace.lines);
        self.replies.take_up(&mut workspace.replies);
        lend(&mut self.out, &mut workspace.out);
        if self.actions.capacity() == 0 {
            std::mem::swap(&mut self.actions, &mut workspace.actions);
        }
        self.spare_head = self.spare_head.take().or_else(|| workspace.head.take());
        self.spare_record = self.spare_record.take().or_else(|| workspace.record.take());
    }

    /// Gives back what it works with and does not need while it waits.
    pub fn put_away(&mut self, workspace: &mut Workspace) {
        self.pipeline
            .put_away(&mut workspace.queue, &mut workspace.lines);
        self.replies.put_away(&mut workspace.replies);
        give_back(&mut self.out, &mut workspace.out);
        if self.actions.is_empty() {
            workspace.actions = std::mem::take(&mut self.actions);
        }
        workspace.head = self.spare_head.take();
        workspace.record = self.spare_record.take();
    }
}

/// Lends `room` to `own` where that has none.
fn lend(own: &mut BytesMut, room: &mut BytesMut) {
    if own.capacity() == 0 {
        std::mem::swap(own, room);
    }
}

/// Gives the memory of `own` back where that holds nothing.
fn give_back(own: &mut BytesMut, room: &mut BytesMut) {
    if own.is_empty() {
        *room = std::mem::take(own);
    }
}
