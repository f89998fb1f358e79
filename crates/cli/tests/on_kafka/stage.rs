//! One real broker with logins for all tests of this program, and a service that answers as told.

use crate::house::seawall::Seawall;
use seawall_infra::{KafkaCluster, KafkaOptions, kafka_or_skip};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// The password of the broker's user `alice`: it must show nowhere.
pub const PASSWORD: &str = "alice-secret";

/// The shared broker; it dies with the process.
pub fn kafka(test: &str) -> Option<&'static KafkaCluster> {
    static CLUSTER: OnceLock<Option<KafkaCluster>> = OnceLock::new();
    let options = KafkaOptions { sasl: true, ..KafkaOptions::default() };
    let cluster = CLUSTER.get_or_init(|| kafka_or_skip(test, options)).as_ref();
    if cluster.is_none() {
        println!("SKIP {test}: no Kafka: java or mvn is missing");
    }
    cluster
}

pub fn create(kafka: &KafkaCluster, topic: &str, partitions: u32) {
    create_with(kafka, topic, partitions, &[]);
}

/// The same with settings of its own, as `name=value`.
pub fn create_with(kafka: &KafkaCluster, topic: &str, partitions: u32, settings: &[&str]) {
    let (brokers, partitions) = (kafka.bootstrap(), partitions.to_string());
    let mut arguments =
        vec!["--bootstrap-server", &brokers, "--create", "--topic", topic, "--partitions", &partitions];
    arguments.extend(settings.iter().flat_map(|setting| ["--config", setting]));
    let made = kafka.tool("org.apache.kafka.tools.TopicCommand", &arguments).unwrap();
    assert!(made.status.is_some_and(|status| status.success()), "{made:?}");
}

/// A service that answers every request with the same status.
#[derive(Clone)]
pub struct Service {
    pub addr: SocketAddr,
    status: Arc<AtomicU16>,
    seen: Arc<AtomicU64>,
    effects: Arc<Mutex<BTreeSet<String>>>,
}

impl Service {
    pub fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (status, seen) = (Arc::new(AtomicU16::new(status)), Arc::new(AtomicU64::new(0)));
        let service = Self { addr, status, seen, effects: Arc::default() };
        let answering = service.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let service = answering.clone();
                std::thread::spawn(move || service.serve(stream));
            }
        });
        service
    }

    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Requests, repeats among them.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// Tokens of which a request was answered with 200.
    pub fn effects(&self) -> u64 {
        self.effects.lock().unwrap().len() as u64
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut length, mut token) = (0, String::new());
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                let line = line.trim_end().to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(bytes) = line.strip_prefix("content-length:") {
                    length = bytes.trim().parse().ok()?;
                }
                if let Some(told) = line.strip_prefix("ce-id:") {
                    told.trim().clone_into(&mut token);
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).ok()?;
            self.seen.fetch_add(1, Ordering::SeqCst);
            let status = self.status.load(Ordering::SeqCst);
            if status == 200 {
                self.effects.lock().unwrap().insert(token);
            }
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).ok()?;
        }
    }
}

/// What the tests' configurations differ in.
pub struct House<'a> {
    pub name: &'a str,
    pub cluster: String,
    pub service: SocketAddr,
    pub more: &'a str,
}

/// A cluster that is reached without a login.
pub fn open(bootstrap: &str) -> String {
    format!("[[cluster]]\nname = \"kafka\"\nbootstrap = [{bootstrap:?}]\n")
}

/// A cluster that is reached as alice, whose password stands in the file `password`.
pub fn guarded(kafka: &KafkaCluster, password: &Path) -> String {
    format!(
        "{}[cluster.properties]\n\"security.protocol\" = \"SASL_PLAINTEXT\"\n\"sasl.mechanism\" = \"PLAIN\"\n\
         \"sasl.username\" = \"alice\"\n[cluster.secrets]\n\"sasl.password\" = {{ file = {:?} }}\n",
        open(&kafka.bootstrap_sasl()),
        password.to_str().unwrap()
    )
}

impl House<'_> {
    /// Writes the configuration into `dir`: one pipeline `orders` that reads the topic and group `name`.
    pub fn write(&self, dir: &Path) -> PathBuf {
        self.write_with(dir, "base = \"5ms\", max = \"50ms\"")
    }

    /// The same, with pauses that are long enough for a retry topic.
    pub fn write_patient(&self, dir: &Path) -> PathBuf {
        self.write_with(dir, "base = \"4s\", max = \"8s\"")
    }

    fn write_with(&self, dir: &Path, pauses: &str) -> PathBuf {
        let Self { name, cluster, service, more } = self;
        let data = dir.join("data").display().to_string();
        let text = format!(
            "{cluster}\n[data]\ndir = {data:?}\n[ingest]\nsink = \"kafka\"\n\
             [[pipeline]]\nname = \"orders\"\nsource = \"kafka\"\ntopics = [{name:?}]\ngroup = {name:?}\n\
             push.url = \"http://{service}/orders\"\ndead_letter.topic = \"{name}.dlq\"\n\
             retry = {{ attempts = 1000000, total = \"1h\", {pauses} }}\n\
             guard.breaker.min_calls = 1_000_000\n{more}\n"
        );
        let file = dir.join("seawall.toml");
        std::fs::write(&file, text).unwrap();
        file
    }
}

/// The state of the pipeline at `at`, and why it is in it.
pub fn state(seawall: &Seawall, at: usize) -> (String, String) {
    let pipeline = &seawall.overview()["pipelines"][at];
    let text = |name: &str| pipeline[name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("fault"))
}
