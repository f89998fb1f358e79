//! `seawall dlq ls|show|redrive|purge`: the dead letters of a running Seawall, through its admin API.

use crate::client::Client;
use crate::exit::{Failure, Kind, Outcome};
use crate::output::{self, Format};
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The most letters of one answer.
const PAGE_MAX: u64 = 500;
/// The problem of an answer that says that a letter is not there.
const UNKNOWN_LETTER: &str = "unknown-letter";
/// How often a redrive under way is asked after.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Dead letters: list, show, drive again, purge.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// The admin address of a running Seawall.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    admin: Url,
    /// A file with the admin token, where one is demanded.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How lists are printed.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the dead letters of a pipeline, oldest first.
    Ls {
        /// The pipeline's name.
        pipeline: String,
        /// How many at most; more that follow are told of on stderr.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Only those behind this one, as PARTITION/OFFSET of the dead-letter topic.
        #[arg(long, value_name = "ID")]
        after: Option<Id>,
        /// Only those whose key, value or error contains this.
        #[arg(long, value_name = "TEXT")]
        matching: Option<String>,
    },
    /// Show one dead letter with its whole story.
    Show {
        /// The pipeline's name.
        pipeline: String,
        /// Which, as PARTITION/OFFSET of the dead-letter topic.
        id: Id,
    },
    /// Append dead letters to their topic again, and wait until it is done.
    Redrive {
        /// The pipeline's name.
        pipeline: String,
        #[command(flatten)]
        which: Which,
        /// Records a second at most.
        #[arg(long, default_value_t = 100)]
        rate: u32,
    },
    /// Forget dead letters for ever.
    Purge {
        /// The pipeline's name.
        pipeline: String,
        #[command(flatten)]
        which: Which,
        /// Without this, nothing is purged.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// All of them.
    #[arg(long)]
    all: bool,
    /// Those whose key, value or error contains this.
    #[arg(long, value_name = "TEXT")]
    matching: Option<String>,
    /// These, as PARTITION/OFFSET of the dead-letter topic.
    #[arg(value_name = "ID")]
    ids: Vec<Id>,
}

#[derive(Clone, Copy, Debug)]
struct Id {
    partition: u32,
    offset: u64,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

impl std::str::FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(p, o)| Some((p.parse().ok()?, o.parse().ok()?)));
        let (partition, offset) =
            parsed.ok_or_else(|| format!("{text:?}: expected PARTITION/OFFSET, as in 0/17"))?;
        Ok(Self { partition, offset })
    }
}

impl Which {
    /// Whether any letter is meant.
    fn is_any(&self) -> bool {
        self.all || self.matching.is_some() || !self.ids.is_empty()
    }

    /// Takes out, and gives, what is not there: the API passes over it.
    async fn take_missing(&mut self, client: &Client, pipeline: &str) -> Result<Vec<Id>, Failure> {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for id in self.ids.drain(..) {
            let is_there = client.has(&format!("{}/{id}", base(pipeline)), UNKNOWN_LETTER).await?;
            if is_there { there.push(id) } else { missing.push(id) }
        }
        self.ids = there;
        Ok(missing)
    }

    fn body(&self) -> Value {
        if self.all {
            return json!({ "all": true });
        }
        if let Some(text) = &self.matching {
            return json!({ "filter": text });
        }
        let ids: Vec<_> =
            self.ids.iter().map(|id| json!({ "partition": id.partition, "offset": id.offset })).collect();
        json!({ "ids": ids })
    }
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let token = crate::client::token(arguments.token_file.as_deref())?;
    let client = Client::new(arguments.admin.clone(), token.as_deref())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::environment)?;
    runtime.block_on(act(&client, arguments.action, arguments.format))
}

async fn act(client: &Client, action: Action, format: Format) -> Outcome {
    match action {
        Action::Ls { pipeline, limit, after, matching } => {
            list(client, &pipeline, (limit, after), matching.as_deref(), format).await
        }
        Action::Show { pipeline, id } => {
            let path = format!("{}/{id}", base(&pipeline));
            let letter = client.json(Method::GET, &path, None).await?;
            match format {
                Format::Json => output::data(format_args!("{letter}")),
                Format::Text => output::data(format_args!("{letter:#}")),
            }
        }
        Action::Redrive { pipeline, mut which, rate } => {
            let missing = which.take_missing(client, &pipeline).await?;
            if which.is_any() {
                let mut body = which.body();
                body["rate"] = json!(rate);
                redrive(client, &format!("{}/redrive", base(&pipeline)), &body, format).await?;
            }
            all_found(&missing)
        }
        Action::Purge { yes: false, .. } => {
            Err(Failure::input("purging forgets dead letters for ever; say --yes to do it"))
        }
        Action::Purge { pipeline, mut which, yes: true } => {
            let missing = which.take_missing(client, &pipeline).await?;
            if which.is_any() {
                let mut body = which.body();
                body["confirm"] = json!(true);
                let done =
                    client.json(Method::POST, &format!("{}/purge", base(&pipeline)), Some(&body)).await?;
                match format {
                    Format::Json => output::data(format_args!("{done}"))?,
                    Format::Text => output::data(format_args!("{} purged", done["count"]))?,
                }
            }
            all_found(&missing)
        }
    }
}

fn all_found(missing: &[Id]) -> Outcome {
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(Id::to_string).collect();
    Err(Failure::new(
        Kind::Verdict,
        format_args!(
            "{}: no such dead letter: redriven, purged, or never there; `seawall dlq ls` lists those that are",
            names.join(", ")
        ),
    ))
}

/// Starts a redrive and waits for its end, so that a script knows what came of it.
async fn redrive(client: &Client, path: &str, order: &Value, format: Format) -> Outcome {
    let mut progress = client.json(Method::POST, path, Some(order)).await?;
    while progress["running"] == true {
        tokio::time::sleep(PROGRESS_EVERY).await;
        progress = client.json(Method::GET, path, None).await?;
    }
    match format {
        Format::Json => output::data(format_args!("{progress}"))?,
        Format::Text => output::data(format_args!("{} redriven", progress["redriven"]))?,
    }
    ended(&progress)
}

/// What came of a redrive that is over.
fn ended(progress: &Value) -> Outcome {
    let Some(error) = progress["error"].as_str() else { return Ok(()) };
    if progress["ended_early"] == true {
        return Err(Failure::environment(format_args!(
            "the redrive ended early, after {} letters; what is left stays where it is: {error}",
            progress["redriven"]
        )));
    }
    Err(Failure::environment(format_args!(
        "{} letters stay where they are, the last because: {error}",
        progress["failed"]
    )))
}

fn base(pipeline: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(pipeline.as_bytes()).collect();
    format!("/v1/pipelines/{name}/dead-letters")
}

/// Lists up to `limit` letters, page by page.
async fn list(
    client: &Client,
    pipeline: &str,
    (limit, after): (u64, Option<Id>),
    matching: Option<&str>,
    format: Format,
) -> Outcome {
    if format == Format::Text {
        output::data(format_args!("{:<12} {:<20} {:<10} {:>8}  ERROR", "ID", "KEY", "CLASS", "ATTEMPTS"))?;
    }
    let mut next = after.map(|id| format!("{}-{}", id.partition, id.offset));
    let mut left = limit;
    loop {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &left.min(PAGE_MAX).to_string());
        if let Some(text) = matching {
            query.append_pair("q", text);
        }
        if let Some(after) = &next {
            query.append_pair("after", after);
        }
        let page = client.json(Method::GET, &format!("{}?{}", base(pipeline), query.finish()), None).await?;
        let letters = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        for letter in letters {
            match format {
                Format::Json => output::data(format_args!("{letter}"))?,
                Format::Text => row(letter)?,
            }
        }
        left = left.saturating_sub(letters.len() as u64);
        next = page["next"].as_str().map(str::to_owned);
        match &next {
            None => return Ok(()),
            Some(place) if left == 0 => {
                let last = place.replace('-', "/");
                output::note(format_args!(
                    "more follow: --limit shows more than {limit}, --after {last} those behind the last"
                ));
                return Ok(());
            }
            Some(_) => {}
        }
    }
}

fn row(letter: &Value) -> Outcome {
    let text = |name: &str| letter[name].as_str().unwrap_or("-").escape_debug().to_string();
    let id = format!("{}/{}", letter["partition"], letter["offset"]);
    let attempts = &letter["attempts"];
    output::data(format_args!(
        "{id:<12} {:<20} {:<10} {attempts:>8}  {}",
        text("key"),
        text("class"),
        text("error")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_partition_and_offset() {
        let id: Id = "3/17".parse().unwrap();
        assert_eq!((id.partition, id.offset), (3, 17));
        assert!("3-17".parse::<Id>().unwrap_err().contains("PARTITION/OFFSET"));
    }

    #[test]
    fn a_redrive_that_broke_off_is_told_from_letters_that_stay() {
        let told = |progress| ended(&progress).expect_err("an error").to_string();
        assert!(ended(&json!({ "redriven": 7, "failed": 0, "ended_early": false, "error": null })).is_ok());
        let early = told(json!({ "redriven": 7, "failed": 0, "ended_early": true, "error": "no answer" }));
        assert!(early.contains("ended early, after 7") && early.contains("no answer"), "{early}");
        let some = told(json!({ "redriven": 7, "failed": 2, "ended_early": false, "error": "too large" }));
        assert!(some.starts_with("2 letters stay") && some.contains("too large"), "{some}");
    }
}
