//! A pipeline in a few lines.

use crate::{Error, Log};
use seawall_consumer::{Consumer, ConsumerOptions, Driver, Ordering, Running};
use seawall_core::Handler;
use seawall_guard::{Guard, GuardOptions};
use seawall_log::topic::check_name;
use seawall_log::{LogError, SourceOptions, TopicOptions};
use seawall_stores::{EmbeddedOptions, EmbeddedStore};
use seawall_wal::RealDisk;
use std::sync::Arc;

/// Takes the records of topics to a handler. Claims are durable (a record that was done is not handled again,
/// also after a crash), records that will never work go to `<name>.dlq`.
#[derive(Clone, Debug)]
pub struct Pipeline {
    topics: Vec<String>,
    guard: GuardOptions,
    options: ConsumerOptions,
}

impl Pipeline {
    /// The pipeline `name` (also its consumer group) over the topic of the same name.
    pub fn new(name: &str) -> Self {
        Self {
            topics: vec![name.to_owned()],
            guard: GuardOptions::default(),
            options: ConsumerOptions::new(name),
        }
    }

    /// Reads these topics instead.
    #[must_use]
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Which records wait for each other; by key where nothing is said.
    #[must_use]
    pub fn ordering(mut self, ordering: Ordering) -> Self {
        self.options.ordering = ordering;
        self
    }

    /// What protects the handler.
    #[must_use]
    pub fn guard(mut self, guard: GuardOptions) -> Self {
        self.guard = guard;
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut ConsumerOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Starts it on the current tokio runtime. Drain it before the log is closed.
    ///
    /// # Errors
    /// [`Error`]: options that contradict themselves (nothing was started), a topic that does not exist, or a
    /// claim store that cannot be opened.
    pub fn start(self, log: &Log, handler: impl Handler) -> Result<Running, Error> {
        let broker = log.broker();
        let clock = broker.clock().clone();
        let seed = fastrand::u64(..);
        // The name becomes a directory's.
        check_name("pipeline", &self.options.pipeline).map_err(LogError::from)?;
        let guard = Arc::new(Guard::new(self.guard, clock.clone(), seed)?);
        if let Some(topic) = &self.options.dead_letter
            && !broker.topic_exists(topic)
        {
            broker.create_topic(topic, TopicOptions::partitions(1))?;
        }
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let source = broker.source(&self.options.group, &topics, SourceOptions::default())?;
        let claims = EmbeddedOptions::new(broker.dir().join("claims").join(&*self.options.pipeline));
        let store = Arc::new(EmbeddedStore::open(RealDisk, claims, clock.clone())?);
        let running = Consumer::start(
            self.options,
            source,
            handler,
            Some(store),
            guard,
            broker.clone(),
            clock,
            seed,
            Driver::Thread,
        )?;
        Ok(running)
    }
}
