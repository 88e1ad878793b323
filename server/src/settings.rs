//! What a server is told when it starts: [`Params`] as they were written, [`Settings`] once they have been checked.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use trimtab_adapters::host::HostLimits;
use trimtab_runtime::site::Site;

/// Something that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    #[default]
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Switch::On
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ask for answers.
    User,
    /// That, and change what the server does.
    Admin,
}

/// A key and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Whose: what is kept for a user is kept under this name.
    pub label: String,
    /// The key.
    pub secret: Secret,
    /// What it may do.
    pub role: Role,
}

impl Key {
    /// A user's key.
    pub fn user(label: impl Into<String>, key: impl Into<String>) -> Key {
        Key { label: label.into(), secret: Secret::new(key), role: Role::User }
    }

    /// An administrator's key.
    pub fn admin(label: impl Into<String>, key: impl Into<String>) -> Key {
        Key { label: label.into(), secret: Secret::new(key), role: Role::Admin }
    }

    /// The keys of a file: one per line as `label:key`; empty lines and lines that begin with `#` say nothing.
    pub fn of_file(text: &str) -> Result<Vec<Key>, Misfit> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let key = |(number, line): (usize, &str)| match line.split_once(':') {
            Some((label, key)) if !label.trim().is_empty() && !key.trim().is_empty() => {
                Ok(Key::user(label.trim(), key.trim()))
            }
            // The line itself may be a key.
            _ => Err(Misfit::new("api-key-file", format!("line {} is not label:key", number + 1))),
        };
        lines.map(key).collect()
    }
}

/// What this build is, for `/version`, metrics and fingerprints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The program's version.
    pub version: String,
    /// The commit it was built from.
    pub git: String,
    /// The version of the tensor library.
    pub tensors: String,
    /// What it was built with.
    pub features: Vec<String>,
    /// The type that dense weights are kept as.
    pub dtype: String,
}

impl Default for Build {
    fn default() -> Self {
        Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git: "unknown".to_owned(),
            tensors: "unknown".to_owned(),
            features: Vec::new(),
            dtype: "default".to_owned(),
        }
    }
}

/// Settings as they were written.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The model's served names, the first of which is shown. Its own name is served too.
    pub names: Vec<String>,
    /// Whether any other name is taken for the model's too.
    pub any_model: Switch,
    /// Who may ask.
    pub keys: Vec<Key>,
    /// Whether there are routes for administrators.
    pub admin: Switch,
    /// Whether an address that others reach needs no key.
    pub insecure: Switch,
    /// Pages that browsers may ask from; `*` is all.
    pub cors_origins: Vec<String>,
    /// Whether the page at `/` is left out.
    pub no_ui: Switch,
    /// Whether what people write is logged.
    pub log_content: Switch,
    /// Where embeddings are read.
    pub embedding_site: Site,
    /// What adapters may take, and how much may wait to be learnt.
    pub learning: HostLimits,
    /// Bytes of a body.
    pub max_body: usize,
    /// Connections at once.
    pub connections: usize,
    /// Of a whole request.
    pub timeout: Duration,
    /// Within which a body must have come.
    pub body_timeout: Duration,
    /// Within which a request's headers must have come.
    pub header_timeout: Duration,
    /// Within which a client must have read what is written to it.
    pub read_timeout: Duration,
    /// How long running work goes on when the server is shut down.
    pub drain_timeout: Duration,
    /// How long a stream waits for its place before its headers leave without it.
    pub first_word: Duration,
    /// Of silence after which a stream says that it is there.
    pub keep_alive: Duration,
    /// What this build is.
    pub build: Build,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            names: Vec::new(),
            any_model: Switch::Off,
            keys: Vec::new(),
            admin: Switch::Off,
            insecure: Switch::Off,
            cors_origins: Vec::new(),
            no_ui: Switch::Off,
            log_content: Switch::Off,
            embedding_site: Site::Final,
            learning: HostLimits::default(),
            max_body: 2 << 20,
            connections: 1024,
            timeout: Duration::from_secs(600),
            body_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            first_word: Duration::from_secs(3),
            keep_alive: Duration::from_secs(10),
            build: Build::default(),
        }
    }
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The setting, as its flag is called.
    pub field: &'static str,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Misfit {
    fn new(field: &'static str, problem: impl Into<String>) -> Misfit {
        Misfit { field, problem: problem.into() }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

impl std::error::Error for Misfit {}

/// Settings that fit together.
#[derive(Debug, Clone)]
pub struct Settings(Params);

impl std::ops::Deref for Settings {
    type Target = Params;

    fn deref(&self) -> &Params {
        &self.0
    }
}

impl Params {
    /// The checked form.
    pub fn check(self) -> Result<Settings, Misfit> {
        self.check_keys()?;
        self.check_origins()?;
        let limits = [("max-body", self.max_body), ("connections", self.connections)];
        if let Some((field, _)) = limits.into_iter().find(|(_, limit)| *limit == 0) {
            return Err(Misfit::new(field, "is 0, at least 1 is needed"));
        }
        if let Some(name) = self.names.iter().find(|name| name.is_empty() || name.contains('@')) {
            let problem = format!("{name:?} is empty or holds @, which presets are named with");
            return Err(Misfit::new("alias", problem));
        }
        Ok(Settings(self))
    }

    fn check_keys(&self) -> Result<(), Misfit> {
        let is_open = self.keys.is_empty() && !self.address.ip().is_loopback();
        if is_open && !self.insecure.is_on() {
            let problem = format!(
                "{} can be reached by others and no key is set; set --api-key-file, or \
                 --insecure-no-auth to serve everybody",
                self.address
            );
            return Err(Misfit::new("host", problem));
        }
        for (index, key) in self.keys.iter().enumerate() {
            let text = key.secret.text();
            if key.label.is_empty() || text.is_empty() || text.contains(char::is_whitespace) {
                let problem = format!("number {} is empty or holds white space", index + 1);
                return Err(Misfit::new("api-key", problem));
            }
            let earlier = self.keys.iter().take(index);
            if earlier.into_iter().any(|other| other.secret == key.secret) {
                let problem = format!("of {} is somebody else's too", key.label);
                return Err(Misfit::new("api-key", problem));
            }
        }
        Ok(())
    }

    fn check_origins(&self) -> Result<(), Misfit> {
        if self.keys.is_empty() && self.cors_origins.iter().any(|origin| origin == "*") {
            let problem = "* lets every page in the browser use a server without keys; set a key";
            return Err(Misfit::new("cors-origin", problem));
        }
        let is_origin = |origin: &str| {
            let visible = origin.bytes().all(|b| b.is_ascii_graphic());
            origin == "*" || (visible && origin.contains("://") && !origin.ends_with('/'))
        };
        match self.cors_origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(()),
            Some(origin) => {
                let problem = format!("{origin:?} is no origin such as https://example.org");
                Err(Misfit::new("cors-origin", problem))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(params: Params) -> String {
        params.check().unwrap_err().to_string()
    }

    #[test]
    fn an_open_address_needs_a_key() {
        let address = SocketAddr::from(([0, 0, 0, 0], 8080));
        let open = Params { address, ..Params::default() };
        assert!(refused(open.clone()).contains("--insecure-no-auth"));
        assert!(Params { insecure: Switch::On, ..open.clone() }.check().is_ok());
        assert!(Params { keys: vec![Key::user("a", "k")], ..open }.check().is_ok());
        assert!(Params::default().check().is_ok());
    }

    #[test]
    fn origins_and_keys_are_looked_at() {
        let origins = |origins: &[&str]| Params {
            cors_origins: origins.iter().map(|o| (*o).to_owned()).collect(),
            ..Params::default()
        };
        assert!(refused(origins(&["*"])).contains("set a key"));
        assert!(refused(origins(&["example.org"])).contains("no origin"));
        assert!(origins(&["https://example.org"]).check().is_ok());
        let twice = vec![Key::user("a", "same"), Key::admin("b", "same")];
        let told = refused(Params { keys: twice, ..Params::default() });
        assert!(told.contains("of b") && !told.contains("same"), "{told}");
    }

    #[test]
    fn a_key_file_is_read_and_nothing_of_it_is_printed() {
        let keys = Key::of_file("# staff\nann:sk-1:x\n\n bob : sk-2 \n").unwrap();
        assert_eq!(keys, [Key::user("ann", "sk-1:x"), Key::user("bob", "sk-2")]);
        assert!(!format!("{keys:?}").contains("sk-"));
        let told = Key::of_file("ann:sk-1\nsk-3").unwrap_err().to_string();
        assert!(told.contains("line 2") && !told.contains("sk-"), "{told}");
    }
}
