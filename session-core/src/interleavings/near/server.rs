use super::cache::{TicketNumber, What};
use super::tests::Mutant;
use super::{State, Version, World};

/// Both directions keep the order and delay without bound, so a cut link is one that delivers nothing more.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) struct Link {
    pub(super) is_open: bool,
    /// Whether the server will announce a change of the record.
    pub(super) tracks: bool,
    pub(super) requests: Vec<Request>,
    pub(super) replies: Vec<Reply>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Load {
    pub(super) what: What,
    /// `None`: a mutant has not taken one yet.
    pub(super) ticket: Option<TicketNumber>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Request {
    Load(Load),
    /// Which write of this process, and the last moment when the server may do it.
    Write(usize, u8),
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Reply {
    Loaded(Load, Option<Version>),
    Written(usize),
    Changed,
    AllChanged,
}

#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) struct Server {
    pub(super) version: Version,
    pub(super) is_emptied: bool,
    pub(super) past: Vec<Past>,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct Past {
    pub(super) own: u8,
    /// How many ticks ago, as far as it matters.
    pub(super) overwritten: Option<u8>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            is_open: true,
            tracks: false,
            requests: Vec::new(),
            replies: Vec::new(),
        }
    }

    fn reply(&mut self, reply: Reply) {
        if self.is_open {
            self.replies.push(reply);
        }
    }

    pub(super) fn loads(&self) -> Vec<Load> {
        let sent = self.requests.iter().filter_map(|request| match request {
            Request::Load(load) => Some(*load),
            Request::Write(..) => None,
        });
        let done = self.replies.iter().filter_map(|reply| match reply {
            Reply::Loaded(load, _) => Some(*load),
            Reply::Written(_) | Reply::Changed | Reply::AllChanged => None,
        });
        sent.chain(done).collect()
    }

    /// A write under way may still arrive; its answer is lost.
    pub(super) fn close(&mut self) {
        self.is_open = false;
        self.tracks = false;
        self.replies.clear();
        let is_write = |request: &Request| matches!(request, Request::Write(..));
        self.requests.retain(is_write);
    }
}

impl Server {
    pub(super) fn new() -> Self {
        let mut server = Self {
            version: Version {
                others: 0,
                own: 0,
                is_whole: true,
            },
            is_emptied: false,
            past: Vec::new(),
        };
        server.begin_version();
        server
    }

    fn begin_version(&mut self) {
        self.past.push(Past {
            own: self.version.own,
            overwritten: None,
        });
    }

    pub(super) fn pass(&mut self, within: u8) {
        for past in &mut self.past {
            past.overwritten = past.overwritten.map(|ticks| within.min(ticks + 1));
        }
    }

    fn overwrite(&mut self) {
        self.past[self.version.number()].overwritten = Some(0);
    }

    fn change(&mut self, change: impl FnOnce(&mut Version)) {
        self.overwrite();
        change(&mut self.version);
        self.begin_version();
    }
}

impl World {
    /// Handles the first request of a link.
    pub(super) fn execute(&self, state: &mut State, index: usize) {
        let link = &mut state.links[index];
        let server = &mut state.server;
        match link.requests.remove(0) {
            Request::Load(load) => {
                let is_there = load.what != What::Absent && !server.is_emptied;
                link.tracks |= link.is_open && load.what != What::Absent;
                let record = Version {
                    is_whole: load.what == What::Whole,
                    ..server.version
                };
                link.reply(Reply::Loaded(load, is_there.then_some(record)));
            }
            Request::Write(who, not_after) => {
                link.reply(Reply::Written(who));
                if state.real > not_after {
                    return;
                }
                // The script reads what it changes, so the link tracks it.
                link.tracks = link.is_open && !self.is(Mutant::OwnWritesAreNotTold);
                if !server.is_emptied {
                    server.change(|version| version.own += 1);
                    state.writers[who].stored = server.version.number();
                    self.tell(state, Reply::Changed);
                }
            }
        }
    }

    pub(super) fn change(&self, state: &mut State) {
        state.server.change(|version| version.others += 1);
        self.tell(state, Reply::Changed);
    }

    /// FLUSHALL.
    pub(super) fn empty(&self, state: &mut State) {
        state.server.is_emptied = true;
        state.server.overwrite();
        self.tell(state, Reply::AllChanged);
    }

    /// Notifies every link that has read the record, once.
    fn tell(&self, state: &mut State, reply: Reply) {
        for link in &mut state.links {
            if link.tracks || reply == Reply::AllChanged {
                link.reply(reply);
            }
            link.tracks = false;
        }
    }
}
