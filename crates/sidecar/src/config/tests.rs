use super::*;
use std::fmt::Write as _;

const SMALLEST: &str =
    "[[pipeline]]\nname = \"orders\"\ntopics = [\"orders\"]\npush.url = \"http://127.0.0.1:3000/orders\"\n";

/// Each kind of mistake, by name.
const MISTAKES: &[(&str, &str)] = &[
    ("not toml", "[data\ndir = 1"),
    ("duplicate key", "[data]\ndir = \"a\"\ndir = \"b\""),
    ("unknown table", "[ingres]\naddr = \"127.0.0.1:1\""),
    ("unknown table far from any", "[xyzzy]\nplugh = 1"),
    (
        "several unknown fields",
        "[data]\ndri = \"x\"\n[admin]\ntoken = \"canary-secret\"\nadr = \"127.0.0.1:1\"",
    ),
    (
        "unknown field deep inside",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"http://localhost:1/\"\nguard.breaker.failure_ration = 0.5",
    ),
    ("wrong type", "[ingest]\nmax_connections = \"many\""),
    (
        "wrong choice",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\nordering = \"keys\"\npush.url = \"http://localhost:1/\"",
    ),
    ("duration without unit", "[ingest]\nbody_timeout = 30"),
    ("duration of nonsense", "[ingest]\nbody_timeout = \"5 parsecs\""),
    ("size of nonsense", "[ingest]\nmax_body = \"16 mibs\""),
    ("address of nonsense", "[admin]\naddr = \"localhost\""),
    ("missing field", "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]"),
    ("missing field of a table", "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.timeout = \"1s\""),
    ("one table for a list", "[data]\ndir = \"x\"\n  [pipeline]\nname = \"a\"\ntopics = [\"t\"]"),
    (
        "one table for a list, deep inside",
        "[[pipeline]]\nname = \"a\"\n[pipeline.retry_topic]\nafter = \"1m\"",
    ),
    ("one table for a list, in its line", "[[pipeline]]\nname = \"a\"\nretry_topic = { after = \"1m\" }"),
    ("a list for one table", "[[producer]]\ndir = \"x\"\n[[admin]]\n"),
    (
        "network of nonsense",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush = { url = \"http://localhost:1/\", allow_networks = [\"10.0.0.0/40\"] }",
    ),
    ("zero rate", "[ingest]\nrate = 0"),
    ("open to the network", "[admin]\naddr = \"0.0.0.0:9090\""),
    ("two secrets", "[admin]\ntoken_file = \"a\"\ntoken_env = \"B\""),
    (
        "a host with its port",
        "[ingest]\nhosts = [\"in.example\", \"in.example:8080\"]\n[admin]\nhosts = [\"https://a\"]",
    ),
    ("one address twice", "[ingest]\naddr = \"127.0.0.1:9090\""),
    ("body too large", "[ingest]\nmax_body = \"1GiB\""),
    ("less memory than a body takes", "[ingest]\nmax_body = \"64MiB\"\nmemory = \"100MiB\""),
    ("topic name", "[[topic]]\nname = \"../etc\""),
    ("topic twice", "[[topic]]\nname = \"a\"\n[[topic]]\nname = \"a\""),
    ("no partitions", "[[topic]]\nname = \"a\"\npartitions = 0"),
    ("too many partitions", "[[topic]]\nname = \"a\"\npartitions = 1025"),
    ("negative partitions", "[[topic]]\nname = \"a\"\npartitions = -3"),
    (
        "retry topics of a pipeline with an order",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"http://localhost:1/\"\nretry.max = \"1h\"\nretry_topic = [{ after = \"1m\" }]",
    ),
    (
        "retry topics in each other's way",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\nordering = \"unordered\"\npush.url = \"http://localhost:1/\"\nretry.max = \"1h\"\n\
         retry_topic = [{ after = \"1m\", topic = \"t\" }, { after = \"60s\", topic = \"a.dlq\", partitions = 0 }, { after = \"5ms\", topic = \"a/b\" }, { after = \"2h\" }]",
    ),
    (
        "retry topic of another pipeline",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\nordering = \"unordered\"\npush.url = \"http://localhost:1/\"\nretry.max = \"1h\"\n\
         retry_topic = [{ after = \"1m\" }]\n[[pipeline]]\nname = \"b\"\ntopics = [\"a.retry.1m\"]\npush.url = \"http://localhost:1/\"",
    ),
    (
        "source",
        "[[pipeline]]\nname = \"a\"\nsource = \"kafka\"\ntopics = [\"t\"]\npush.url = \"http://localhost:1/\"",
    ),
    (
        "source nearly a cluster",
        "[[cluster]]\nname = \"kafka\"\nbootstrap = [\"a:1\"]\n[[pipeline]]\nname = \"a\"\nsource = \"kafak\"\ntopics = [\"t\"]\npush.url = \"http://localhost:1/\"",
    ),
    ("sink", "[ingest]\nsink = \"kafka\""),
    ("topic of no cluster", "[[topic]]\nname = \"a\"\ncluster = \"kafka\""),
    ("topic of the log as a cluster", "[[topic]]\nname = \"a\"\ncluster = \"log\""),
    ("copies in the log", "[[topic]]\nname = \"a\"\nreplication = 3"),
    (
        "membership of the log",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\nmember.instance_id = \"x\"\npush.url = \"http://localhost:1/\"",
    ),
    (
        "membership",
        "[[cluster]]\nname = \"kafka\"\nbootstrap = [\"a:1\"]\n[[pipeline]]\nname = \"a\"\nsource = \"kafka\"\ntopics = [\"t\"]\nmember = { instance_id = \"\", session_timeout = \"10m\" }\npush.url = \"http://localhost:1/\"",
    ),
    ("cluster called log", "[[cluster]]\nname = \"log\"\nbootstrap = [\"a:1\"]"),
    (
        "cluster twice",
        "[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]",
    ),
    ("no brokers", "[[cluster]]\nname = \"a\"\nbootstrap = []"),
    ("address of a broker", "[[cluster]]\nname = \"a\"\nbootstrap = [\"kafka://a:9092\", \"a\", \"a:1\"]"),
    (
        "client settings",
        "[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[cluster.properties]\nacks = 1\n\"no.such.setting\" = \"x\"\n\"socket.keepalive.enable\" = \"maybe\"\n\"sasl.password\" = \"canary\"\n\"fetch.wait.max.ms\" = 100",
    ),
    (
        "a token that lies nowhere",
        "[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[cluster.properties]\n\"sasl.mechanism\" = \"OAUTHBEARER\"\n[[cluster]]\nname = \"b\"\nbootstrap = [\"b:1\"]\n[cluster.properties]\n\"sasl.mechanism\" = \"OAUTHBEARER\"\n\"sasl.oauthbearer.token.endpoint.url\" = \"https://idp/token\"",
    ),
    (
        "client settings without quotes",
        "[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[cluster.properties]\nsecurity.protocol = \"ssl\"",
    ),
    (
        "secret in the file",
        "[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[cluster.secrets]\n\"sasl.password\" = \"canary\"",
    ),
    ("producer without a cluster", "[producer]\ndisk = \"1GiB\""),
    ("producer's fields", "[producer]\ndsk = \"1GiB\"\nmax_blok = \"1s\"\nreplay.rat = \"1MiB\""),
    (
        "budgets that contradict each other",
        "[ingest]\nsink = \"a\"\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[producer]\nmemory = \"16MiB\"\ndisk = \"64MiB\"\nrecord_max = \"16MiB\"\nlinger = \"20s\"\ntimeout = \"30s\"\npatience = \"20s\"",
    ),
    (
        "a record's time that is over before it goes to the disk",
        "[ingest]\nsink = \"a\"\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[producer]\ntimeout = \"1s\"\npatience = \"1s\"",
    ),
    (
        "producer's numbers",
        "[ingest]\nsink = \"a\"\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[producer]\nmemory_records = 0\ndurability = \"sync\"",
    ),
    (
        "producer's share",
        "[ingest]\nsink = \"a\"\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[producer]\nreplay.share = 1.5",
    ),
    (
        "cluster's compression",
        "[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\ncompression = \"brotli\"\n[cluster.properties]\n\"compression.type\" = \"zstd\"",
    ),
    (
        "producer's compression",
        "[ingest]\nsink = \"a\"\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[producer]\ndisk_compression = \"zstd\"",
    ),
    (
        "producer's breaker",
        "[ingest]\nsink = \"a\"\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[producer]\nbreaker = { failure_ratio = 0, window = \"1ms\", min_calls = 0, open_for = \"2h\", probes = 0 }\nbackoff = { base = \"10s\", max = \"1s\" }",
    ),
    (
        "producer's backoff",
        "[ingest]\nsink = \"a\"\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[producer]\nbackoff = { base = \"0s\", max = \"2h\" }",
    ),
    (
        "producer's memory",
        "[ingest]\nsink = \"a\"\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[producer]\nmemory = \"8GiB\"\ndisk = 0\nmax_block = \"2h\"",
    ),
    (
        "clusters to fail over to",
        "[ingest]\nsink = \"a\"\n[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[[cluster]]\nname = \"east\"\nbootstrap = [\"b:1\"]\n[producer]\nfail_over = [\"esat\", \"log\", \"a\", \"east\", \"east\"]",
    ),
    (
        "nothing to fail over from",
        "[[cluster]]\nname = \"a\"\nbootstrap = [\"a:1\"]\n[[pipeline]]\nname = \"p\"\nsource = \"a\"\ntopics = [\"t\"]\npush.url = \"http://localhost:1/\"\n[producer]\nfail_over = [\"a\"]",
    ),
    ("no topics", "[[pipeline]]\nname = \"a\"\ntopics = []\npush.url = \"http://localhost:1/\""),
    (
        "topic listed twice",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\", \"t\"]\npush.url = \"http://localhost:1/\"",
    ),
    (
        "dead letters in a circle",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\ndead_letter.topic = \"t\"\npush.url = \"http://localhost:1/\"",
    ),
    ("not a url", "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"localhost:3000\""),
    ("private address", "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"http://10.0.0.1/\""),
    (
        "metadata address",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"http://169.254.169.254/\"",
    ),
    (
        "numbers that disagree",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\n[pipeline.push]\nurl = \"http://localhost:1/\"\nmax_connections = 0\n[pipeline.guard]\nburst = 5\nconcurrency = 10\nadaptive = { min = 40, max = 20 }\nbreaker = { failure_ratio = nan }\n[pipeline.retry]\nattempts = 0\nbase = \"10s\"\nbudget = { ratio = -1, window = \"1h\" }",
    ),
    (
        "more deliveries than connections",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush = { url = \"http://localhost:1/\", max_connections = 64 }\nguard.concurrency = 65",
    ),
    (
        "fewer connections than deliveries by default",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush = { url = \"http://localhost:1/\", max_connections = 64 }",
    ),
    (
        "times that end a healthy pipeline",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush = { url = \"http://localhost:1/\", timeout = \"1m\" }\nstall_after = \"50ms\"\ngive_up_after = \"1m\"",
    ),
    (
        "two pipelines in each other's way",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"http://localhost:1/\"\n[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"http://localhost:2/\"",
    ),
    (
        "dead letters of two pipelines in one topic",
        "[[pipeline]]\nname = \"a\"\ntopics = [\"t\"]\npush.url = \"http://localhost:1/\"\n[[pipeline]]\nname = \"b\"\ntopics = [\"t\"]\npush.url = \"http://localhost:2/\"\ndead_letter.topic = \"a.dlq\"",
    ),
];

/// Every mistake gets the message that stands in the snapshot. `SEAWALL_BLESS=1` rewrites it.
#[test]
fn every_mistake_has_its_message() {
    let mut said = String::new();
    for (name, text) in MISTAKES {
        let error = parse(text, "orders.toml").expect_err(name);
        assert!(!error.findings().is_empty(), "{name}");
        write!(said, "# {name}\n{error}\n\n").expect("memory");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/config_mistakes.txt");
    if std::env::var_os("SEAWALL_BLESS").is_some() {
        std::fs::write(&path, &said).expect("written");
    }
    assert_eq!(said, std::fs::read_to_string(&path).expect("the snapshot"));
}

#[test]
fn the_smallest_config_runs_with_sane_defaults() {
    let config = parse(SMALLEST, "orders.toml").expect("valid");
    let pipeline = &config.pipeline[0];
    assert_eq!(pipeline.group(), "orders");
    assert_eq!(pipeline.dead_letter_topic(), "orders.dlq");
    assert_eq!(config.ingest.addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin.addr.to_string(), "127.0.0.1:9090");
    assert_eq!(parse("", "empty.toml").expect("valid"), Config::default());
}

fn example() -> String {
    example_called("orders.toml")
}

fn example_called(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    std::fs::read_to_string(path).expect("the example")
}

const ON_KAFKA: &str = "[ingest]\nsink = \"kafka\"\n[[cluster]]\nname = \"kafka\"\nbootstrap = [\"kafka-1.internal:9092\", \"kafka-2.internal:9092\"]\n[[pipeline]]\nname = \"orders\"\nsource = \"kafka\"\ntopics = [\"orders\"]\npush.url = \"http://127.0.0.1:3000/orders\"\n";

/// The Kafka example says which of its values are chosen; the others are the defaults.
#[test]
fn the_kafka_example_holds_the_defaults() {
    let config = parse(&example_called("orders-kafka.toml"), "orders-kafka.toml").expect("valid");
    let mut expected = parse(ON_KAFKA, "on-kafka.toml").expect("valid");
    let cluster = &mut expected.cluster[0];
    for (name, value) in
        [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "orders")]
    {
        cluster.properties.insert(name.to_owned(), Property::Text(value.to_owned()));
    }
    let place = SecretPlace::Env { env: "KAFKA_PASSWORD".to_owned() };
    cluster.secrets.insert("sasl.password".to_owned(), place);
    let topic = Topic { cluster: Some("kafka".to_owned()), replication: Some(3), ..Topic::named("orders") };
    expected.topic.push(topic);
    expected.producer = Some(Producer::default());
    expected.pipeline[0].member = Some(Member::default());
    expected.pipeline[0].dead_letter.topic = Some("orders.dlq".to_owned());
    assert_eq!(config, expected);
}

/// The edge example is one; what it chooses stands in it with the reason.
#[test]
fn the_edge_example_is_one() {
    let config = parse(&example_called("edge.toml"), "edge.toml").expect("valid");
    let producer = config.producer.expect("it is about that");
    assert_eq!(producer.disk_compression, DiskCompression::Lz4);
    assert_eq!(producer.backoff.max, Period::from_secs(1));
}

/// A password that stands in the file, in whatever wrong way, is in no message.
#[test]
fn a_secret_in_the_file_is_not_repeated() {
    for wrong in [
        "[cluster.properties]\n\"sasl.password\" = \"canary\"",
        "[cluster.properties]\n\"ssl.key.pem\" = \"canary\"",
        "[cluster.secrets]\n\"sasl.password\" = \"canary\"",
        "[cluster.secrets]\n\"sasl.password\" = { value = \"canary\" }",
        "[cluster.secrets]\n\"sasl.password\" = { file = 7, canary = 1 }",
        "[cluster.secrets]\n\"sasl.password\" = { file = \"a\", env = \"canary\" }",
        "[cluster.properties]\nsasl.password = \"canary\"",
        "[cluster.secrets]\nsasl.password = \"canary\"",
    ] {
        let text = format!("[[cluster]]\nname = \"kafka\"\nbootstrap = [\"a:1\"]\n{wrong}");
        let said = parse(&text, "t.toml").expect_err(wrong).to_string();
        assert!(!said.contains("canary"), "{said}");
        let helps = said.contains("{ file = ") || said.contains("stands in quotes");
        assert!(helps || said.contains("unknown field"), "{said}");
    }
}

/// The example says that its values are the defaults, and they are.
#[test]
fn the_example_holds_the_defaults() {
    let mut config = parse(&example(), "orders.toml").expect("valid");
    config.topic[0] = Topic { retention_bytes: None, retention_age: None, ..config.topic[0].clone() };
    let mut expected = parse(SMALLEST, "smallest.toml").expect("valid");
    expected.topic.push(Topic::named("orders"));
    expected.pipeline[0].guard.adaptive = config.pipeline[0].guard.adaptive;
    expected.pipeline[0].dead_letter.topic = Some("orders.dlq".to_owned());
    assert_eq!(config, expected);
}

#[test]
fn the_schema_accepts_the_example_and_refuses_what_the_parser_refuses() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let json =
        |text: &str| serde_json::to_value(toml::from_str::<toml::Value>(text).expect("toml")).expect("json");
    let example = json(&example());
    let complaints: Vec<String> = validator.iter_errors(&example).map(|e| e.to_string()).collect();
    assert_eq!(complaints, Vec::<String>::new());
    assert!(validator.is_valid(&json(&example_called("orders-kafka.toml"))));
    assert!(validator.is_valid(&json(SMALLEST)));
    for name in [
        "several unknown fields",
        "wrong type",
        "wrong choice",
        "missing field",
        "zero rate",
        "size of nonsense",
    ] {
        let (_, text) = MISTAKES.iter().find(|(n, _)| *n == name).expect("listed");
        assert!(!validator.is_valid(&json(text)), "{name}");
    }
    let defaults = serde_json::to_value(parse(SMALLEST, "x").expect("valid")).expect("json");
    assert!(validator.is_valid(&defaults), "a config that is shown is a config that is accepted");
}

#[test]
fn a_reload_takes_limits_and_names_everything_else() {
    let old = parse(SMALLEST, "a").expect("valid");
    let mut new = old.clone();
    new.pipeline[0].guard.concurrency = Concurrency(7);
    new.pipeline[0].retry.attempts = 3;
    new.pipeline[0].retry.budget = Some(RetryBudget::default());
    new.ingest.concurrency = Concurrency(9);
    assert_eq!(restart_fields(&old, &new), Vec::<String>::new());
    new.pipeline[0].ordering = Ordering::Unordered;
    new.pipeline[0].push.url = "http://127.0.0.1:1/".into();
    new.data.dir = "elsewhere".into();
    new.producer = Some(Producer::default());
    assert_eq!(
        restart_fields(&old, &new),
        ["data.dir", "pipeline[0].ordering", "pipeline[0].push.url", "producer"]
    );
    new.pipeline.clear();
    assert!(restart_fields(&old, &new).contains(&"pipeline".to_owned()));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load(Path::new("no/such/orders.toml")).expect_err("absent");
    assert!(error.to_string().contains("no/such/orders.toml"), "{error}");
}
