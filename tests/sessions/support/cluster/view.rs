use super::super::redis::RedisServer;

#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: String,
    flags: Vec<String>,
    /// The id of its master, or `-`.
    pub(super) master: String,
    /// The first and the last slot of each range.
    pub(super) slots: Vec<(u16, u16)>,
}

/// The nodes that `node` knows, itself included, sorted by id.
pub(super) fn view(node: &RedisServer) -> Vec<Seen> {
    let lines: String = node.command(&["CLUSTER", "NODES"]);
    let mut view: Vec<_> = lines.lines().map(Seen::parse).collect();
    view.sort_by(|one, other| one.id.cmp(&other.id));
    view
}

impl Seen {
    /// Reads `ID ADDRESS FLAG,FLAG MASTER PINGED PONGED EPOCH LINK SLOT SLOT-SLOT …`.
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        // A slot in brackets is moving; the entry does not say who owns it.
        let slots = words[8..].iter().filter(|slot| !slot.starts_with('['));
        let slots = slots.map(|slot| {
            let (first, last) = slot.split_once('-').unwrap_or((slot, slot));
            (first.parse().unwrap(), last.parse().unwrap())
        });
        Self {
            id: words[0].into(),
            flags: words[2].split(',').map(str::to_owned).collect(),
            master: words[3].into(),
            slots: slots.collect(),
        }
    }

    pub(super) fn has(&self, slot: u16) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|(first, last)| (*first..=*last).contains(&slot))
    }

    pub(super) fn is_myself(&self) -> bool {
        self.is("myself")
    }

    pub(super) fn is_master(&self) -> bool {
        self.is("master")
    }

    pub(super) fn is_fine(&self) -> bool {
        !["fail", "fail?", "handshake", "noaddr"]
            .map(|flag| self.is(flag))
            .contains(&true)
    }

    pub(super) fn claim(&self) -> (String, bool, String, Vec<(u16, u16)>) {
        let (id, master) = (self.id.clone(), self.master.clone());
        (id, self.is_master(), master, self.slots.clone())
    }

    fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|one| one == flag)
    }
}
