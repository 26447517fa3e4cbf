use std::path::PathBuf;

use super::topology::Kind;

#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The length of each run. `None`: each fault once, as fast as possible.
    pub(crate) seconds: Option<u64>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) only: Option<Kind>,
    pub(crate) wait_replicas: Option<usize>,
    pub(crate) serve: Option<Serve>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Serve {
    pub(crate) kind: String,
    pub(crate) urls: Vec<String>,
    pub(crate) wait_replicas: usize,
}

impl Serve {
    pub(crate) fn arguments(&self) -> Vec<String> {
        let wait_replicas = self.wait_replicas.to_string();
        let words = ["--serve", &self.kind, &self.urls.join(","), &wait_replicas];
        words.map(str::to_owned).to_vec()
    }
}

impl Options {
    /// `None`: another test was asked for.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.unwrap_or_else(|| panic!("{argument} needs a value"))
            };
            match &*argument {
                "--seconds" => options.seconds = Some(value().parse().unwrap()),
                "--report" => options.report = Some(value().into()),
                "--topology" => options.only = Some(Kind::named(&value())),
                "--wait-replicas" => options.wait_replicas = Some(value().parse().unwrap()),
                "--serve" => {
                    let (kind, urls) = (value(), value());
                    options.serve = Some(Serve {
                        kind,
                        urls: urls.split(',').map(str::to_owned).collect(),
                        wait_replicas: value().parse().unwrap(),
                    });
                }
                // `cargo test` passes these to every test.
                "--list" | "--ignored" => return None,
                other if other.starts_with('-') => {}
                filter if "chaos".contains(filter) => {}
                _ => return None,
            }
        }
        Some(options)
    }
}
