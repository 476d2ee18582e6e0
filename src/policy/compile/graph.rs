//! Which policy needs which: by `extends`, and by rules that hand over.
//!
//! Owns the order in which policies can be compiled, and finds loops. A loop through both kinds
//! is one as well: what is extended brings its hand-overs along.

use std::collections::BTreeMap;

use super::super::spec::Located;
use super::read::Draft;
use super::{Problems, did_you_mean};

/// One need.
struct Edge<'s> {
    /// The policy that is needed, by its index.
    to: usize,
    /// Where it is named.
    written: &'s Located<String>,
}

/// The needs of all policies.
pub(super) struct Graph {
    /// The indices of policies that can be compiled, each behind those that it needs.
    pub(super) order: Vec<usize>,
    /// For each policy the one that it extends.
    pub(super) extends: Vec<Option<usize>>,
    /// For each policy and each of its rules the one that it hands over to.
    pub(super) next: Vec<Vec<Option<usize>>>,
    /// Whether another policy needs this one.
    pub(super) needed: Vec<bool>,
}

impl Graph {
    /// Finds the needs of `drafts`.
    pub(super) fn new(drafts: &[Draft<'_>], problems: &mut Problems) -> Self {
        let names: BTreeMap<&str, usize> = drafts
            .iter()
            .enumerate()
            .map(|(index, draft)| (draft.name.value.as_str(), index))
            .collect();
        let mut graph = Self {
            order: Vec::new(),
            extends: Vec::new(),
            next: Vec::new(),
            needed: vec![false; drafts.len()],
        };
        let mut edges: Vec<Vec<Edge<'_>>> = Vec::new();
        let mut sound: Vec<bool> = drafts.iter().map(|draft| draft.sound).collect();
        for (index, draft) in drafts.iter().enumerate() {
            let mut own = Vec::new();
            let mut find = |written| {
                let found = find(written, &names, problems);
                match (found, sound.get_mut(index)) {
                    (Some(to), _) => own.push(Edge { to, written }),
                    (None, Some(sound)) => *sound = false,
                    (None, None) => {}
                }
                found
            };
            let extends = draft.spec.extends.as_ref().and_then(&mut find);
            let next = draft
                .rules
                .iter()
                .map(|rule| rule.next.and_then(&mut find))
                .collect();
            graph.extends.push(extends);
            graph.next.push(next);
            edges.push(own);
        }
        for edge in edges.iter().flatten() {
            if let Some(needed) = graph.needed.get_mut(edge.to) {
                *needed = true;
            }
        }
        let mut search = Search {
            marks: vec![Mark::New; drafts.len()],
            edges: &edges,
            sound,
            order: Vec::new(),
        };
        for index in 0..drafts.len() {
            search.from(index, problems);
        }
        let Search { sound, order, .. } = search;
        graph.order = order
            .into_iter()
            .filter(|index| sound.get(*index) == Some(&true))
            .collect();
        graph
    }
}

/// The index of the policy that `written` names.
fn find(
    written: &Located<String>,
    names: &BTreeMap<&str, usize>,
    problems: &mut Problems,
) -> Option<usize> {
    let found = names.get(written.value.as_str()).copied();
    if found.is_none() {
        problems
            .error(
                "policy/unknown-policy",
                &written.span,
                format!("there is no policy called `{}`", written.value),
            )
            .help_if(did_you_mean(&written.value, names.keys().copied()));
    }
    found
}

/// How far the search got with a policy.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Mark {
    /// All that it needs was searched.
    Done,
    /// Not seen yet.
    New,
    /// On the way that the search is on.
    Open,
}

/// A search in depth, with its own stack.
struct Search<'g, 's> {
    /// How far it got with each policy.
    marks: Vec<Mark>,
    /// What each needs.
    edges: &'g [Vec<Edge<'s>>],
    /// Whether each can be compiled.
    sound: Vec<bool>,
    /// Those done, in order.
    order: Vec<usize>,
}

impl Search<'_, '_> {
    /// Searches from `start`.
    fn from(&mut self, start: usize, problems: &mut Problems) {
        if self.marks.get(start) != Some(&Mark::New) {
            return;
        }
        self.mark(start, Mark::Open);
        let mut stack = vec![(start, 0_usize)];
        while let Some((index, tried)) = stack.pop() {
            let Some(edge) = self.edges.get(index).and_then(|edges| edges.get(tried)) else {
                self.mark(index, Mark::Done);
                self.order.push(index);
                // What needs something unsound is unsound.
                let all = self.edges.get(index).into_iter().flatten();
                let sound = all.map(|edge| edge.to).all(|to| self.is_sound(to));
                if !sound {
                    self.spoil(index);
                }
                continue;
            };
            stack.push((index, tried.saturating_add(1)));
            match self.marks.get(edge.to) {
                Some(Mark::New) => {
                    self.mark(edge.to, Mark::Open);
                    stack.push((edge.to, 0));
                }
                Some(Mark::Open) => {
                    problems
                        .error(
                            "policy/loop",
                            &edge.written.span,
                            format!(
                                "`{}` needs itself: this leads back to it",
                                edge.written.value
                            ),
                        )
                        .help("let one of the policies on the way stand for itself");
                    self.spoil(index);
                }
                Some(Mark::Done) | None => {}
            }
        }
    }

    /// Notes how far the search got with a policy.
    fn mark(&mut self, index: usize, mark: Mark) {
        if let Some(place) = self.marks.get_mut(index) {
            *place = mark;
        }
    }

    /// Whether a policy can be compiled.
    fn is_sound(&self, index: usize) -> bool {
        self.sound.get(index) == Some(&true)
    }

    /// Notes that a policy cannot be compiled.
    fn spoil(&mut self, index: usize) {
        if let Some(sound) = self.sound.get_mut(index) {
            *sound = false;
        }
    }
}
