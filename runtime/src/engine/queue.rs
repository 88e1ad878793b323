//! Who waits: owners take turns, and within an owner the first comes first.

use super::job::Job;
use std::collections::VecDeque;

/// The line. Those who had a place and gave it up come before all others.
#[derive(Default)]
pub(super) struct Queue {
    front: VecDeque<Job>,
    /// One line per owner, the one whose turn it is in front.
    owners: VecDeque<(u64, VecDeque<Job>)>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.owners.is_empty()
    }

    pub(super) fn push(&mut self, seat: Job) {
        let owner = seat.note.terms.owner;
        match self.owners.iter_mut().find(|(other, _)| *other == owner) {
            Some((_, line)) => line.push_back(seat),
            None => self.owners.push_back((owner, VecDeque::from([seat]))),
        }
    }

    pub(super) fn push_front(&mut self, seat: Job) {
        self.front.push_front(seat);
    }

    pub(super) fn first(&self) -> Option<&Job> {
        let owned = || self.owners.front().and_then(|(_, line)| line.front());
        self.front.front().or_else(owned)
    }

    /// Takes who comes next; the next owner's turn follows.
    pub(super) fn take(&mut self) -> Option<Job> {
        if let Some(seat) = self.front.pop_front() {
            return Some(seat);
        }
        let (owner, mut line) = self.owners.pop_front()?;
        let seat = line.pop_front();
        if !line.is_empty() {
            self.owners.push_back((owner, line));
        }
        seat
    }

    /// Removes the jobs that match.
    pub(super) fn drain(&mut self, leaves: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut gone = Vec::new();
        let mut sort = |line: &mut VecDeque<Job>| {
            for seat in std::mem::take(line) {
                if leaves(&seat) { gone.push(seat) } else { line.push_back(seat) }
            }
        };
        sort(&mut self.front);
        self.owners.iter_mut().for_each(|(_, line)| sort(line));
        self.owners.retain(|(_, line)| !line.is_empty());
        gone
    }
}
