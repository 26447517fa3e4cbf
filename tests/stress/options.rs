use std::fmt;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) memory: bool,
    pub(crate) redis: Option<String>,
    pub(crate) seconds: u64,
    pub(crate) processes: u64,
    pub(crate) tasks: u64,
    pub(crate) sessions: u64,
    /// In percent.
    pub(crate) lose: u64,
    pub(crate) seed: u64,
    /// Of each process, in one round.
    pub(crate) millis: u64,
    pub(crate) prefix: String,
    /// Set in started processes.
    pub(crate) worker: Option<u64>,
}

impl Options {
    /// `None`: another test was asked for.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            memory: false,
            redis: None,
            seconds: 5,
            processes: 4,
            tasks: 8,
            sessions: 4,
            lose: 3,
            seed: 1,
            millis: 0,
            prefix: String::new(),
            worker: None,
        };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let value = arguments.next().and_then(|value| value.parse().ok());
                value.unwrap_or_else(|| panic!("{argument} needs a number"))
            };
            match &*argument {
                "--lose" => options.lose = number(),
                "--memory" => options.memory = true,
                "--millis" => options.millis = number(),
                "--prefix" => options.prefix = arguments.next().unwrap_or_default(),
                "--processes" => options.processes = number(),
                "--redis" => options.redis = arguments.next(),
                "--seconds" => options.seconds = number(),
                "--seed" => options.seed = number(),
                "--sessions" => options.sessions = number(),
                "--tasks" => options.tasks = number(),
                "--worker" => options.worker = Some(number()),
                // `cargo test` passes these to every test.
                "--list" | "--ignored" => return None,
                other if other.starts_with('-') => {}
                filter if "stress".contains(filter) => {}
                _ => return None,
            }
        }
        Some(options)
    }

    pub(crate) fn has_near_cache(&self) -> bool {
        self.worker.is_some_and(|number| number % 2 == 1)
    }

    pub(crate) fn begin_round(&mut self, round: u64, time: Duration) {
        self.seed = self.seed.wrapping_add(round);
        self.millis = time.as_millis() as u64;
        self.prefix = format!("stress:{}:{round}:", std::process::id());
    }

    pub(crate) fn of_worker(&self, number: u64) -> Vec<String> {
        let numbers = [
            ("--lose", self.lose),
            ("--millis", self.millis),
            ("--seed", self.seed),
            ("--sessions", self.sessions),
            ("--tasks", self.tasks),
            ("--worker", number),
        ];
        let numbers = numbers.map(|(name, value)| [name.to_owned(), value.to_string()]);
        let redis = self.redis.clone().unwrap_or_default();
        let texts = [("--redis", redis), ("--prefix", self.prefix.clone())];
        let texts = texts.map(|(name, value)| [name.to_owned(), value]);
        numbers.into_iter().chain(texts).flatten().collect()
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = match self.memory {
            true => "in memory".into(),
            false => format!("on Redis, {} processes", self.processes),
        };
        write!(
            f,
            "{} s {store}, {} tasks each on {} sessions, {} % of answers lost, seed {}",
            self.seconds, self.tasks, self.sessions, self.lose, self.seed
        )
    }
}
