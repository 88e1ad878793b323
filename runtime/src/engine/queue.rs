//! What waits: owners take turns, one for each answer, and within an owner the first comes first.

use super::job::Job;
use std::collections::VecDeque;

/// The jobs of one owner.
struct OwnerLine {
    owner: u64,
    jobs: VecDeque<Job>,
    /// Turns that its last job took beyond the one it had.
    owes: usize,
}

/// The line. Those who had a place and gave it up come before all others.
#[derive(Default)]
pub(super) struct Queue {
    front: VecDeque<Job>,
    /// The one whose turn it is in front; one that owes turns stays, even if nothing of it waits.
    owners: VecDeque<OwnerLine>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.owners.iter().all(|line| line.jobs.is_empty())
    }

    pub(super) fn push(&mut self, seat: Job) {
        let owner = seat.note.terms.owner;
        match self.owners.iter_mut().find(|line| line.owner == owner) {
            Some(line) => line.jobs.push_back(seat),
            None => {
                self.owners.push_back(OwnerLine { owner, jobs: VecDeque::from([seat]), owes: 0 });
            }
        }
    }

    pub(super) fn push_front(&mut self, seat: Job) {
        self.front.push_front(seat);
    }

    /// The job that comes next.
    pub(super) fn first(&mut self) -> Option<&Job> {
        if self.front.is_empty() {
            self.turn();
        }
        self.front.front().or_else(|| self.owners.front()?.jobs.front())
    }

    /// Brings an owner to the front that waits and owes no turn.
    fn turn(&mut self) {
        while let Some(line) = self.owners.pop_front_if(|l| l.owes > 0 || l.jobs.is_empty()) {
            if line.owes > 0 {
                self.owners.push_back(OwnerLine { owes: line.owes - 1, ..line });
            }
        }
    }

    /// Takes the job that comes next; the next owner's turn follows.
    pub(super) fn take(&mut self) -> Option<Job> {
        self.first()?;
        if let Some(seat) = self.front.pop_front() {
            return Some(seat);
        }
        let mut line = self.owners.pop_front()?;
        let seat = line.jobs.pop_front()?;
        line.owes = seat.places() - 1;
        if line.owes > 0 || !line.jobs.is_empty() {
            self.owners.push_back(line);
        }
        Some(seat)
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
        self.owners.iter_mut().for_each(|line| sort(&mut line.jobs));
        gone
    }
}
