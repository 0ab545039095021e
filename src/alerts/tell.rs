//! Telling people of alerts: by a webhook, in Slack, by mail.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hmac::{Hmac, KeyInit, Mac};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::config::{Address, Channel, ChannelKind, Mail, Tls, is_postable};
use crate::plain::plain;
use crate::redact::Redactor;
use crate::store::{Notice, Store, Told, short};

/// How often it is looked whether somebody is to be told of something.
const EVERY: Duration = Duration::from_secs(5);
/// How long one try may take, and how long nobody else tries the same meanwhile.
const TRY: Duration = Duration::from_secs(20);
const TAKEN: Duration = Duration::from_secs(60);
/// The first wait after a failure; each next one is twice as long, up to the last.
const WAITS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3600));
/// Tries of one notice: the last is about half a day after the first.
const TRIES: u64 = 18;
/// The longest text that is told of a failure, in characters.
const LONGEST: usize = 300;

/// Tells people on channels.
pub struct Postman {
    channels: Vec<Channel>,
    secrets: BTreeMap<String, SecretString>,
    redactor: Redactor,
    client: reqwest::Client,
}

/// Why somebody could not be told.
#[derive(Debug)]
enum Failure {
    /// It may work later.
    Passing(String),
    /// It will not.
    Final(String),
}

impl Postman {
    /// Tells `channels`, whose secrets are looked up by the names of their variables; nothing that `redactor` knows goes out.
    ///
    /// # Errors
    /// Where this machine cannot speak TLS.
    pub fn new(
        channels: &[Channel],
        secret: impl Fn(&str) -> Option<SecretString>,
        redactor: Redactor,
    ) -> Result<Self> {
        let named = channels.iter().flat_map(Channel::secrets);
        let secrets: BTreeMap<String, SecretString> =
            named.filter_map(|name| Some((name.to_owned(), secret(name)?))).collect();
        let redactor = redactor.with_secrets(secrets.values().map(|one| one.expose_secret().to_owned()));
        // Whoever comes first installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TRY)
            .user_agent(concat!("regreen/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("no HTTPS client")?;
        Ok(Self { channels: channels.to_vec(), secrets, redactor, client })
    }

    /// Tells what is due again and again. Does not return.
    pub async fn deliver(self, store: Store) {
        if self.channels.is_empty() {
            return std::future::pending().await;
        }
        loop {
            if let Err(error) = self.deliver_due(&store).await {
                tracing::debug!("nobody was told of alerts: {error:#}");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Tells all that is due now; how many were told.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn deliver_due(&self, store: &Store) -> Result<usize> {
        let mut sent = 0;
        while let Some(notice) = store.take_notice(&self.channels, TAKEN).await? {
            let told = self.tell(store, &notice).await;
            sent += usize::from(told == Told::Sent);
            store.settle_notice(&notice.id, &told).await?;
        }
        Ok(sent)
    }

    /// Tells a channel that it works.
    ///
    /// # Errors
    /// Where there is no such channel, or it cannot be told now.
    pub async fn try_out(&self, store: &Store, channel: &str) -> Result<()> {
        let body = json!({
            "event": "alert.test",
            "alert": {
                "id": "00000000", "rule": "test", "subject": null, "message": "this is a test of the channel",
                "figures": {}, "action": "nothing is to be done", "since": store.now(), "raised_at": store.now(),
                "recovered_at": null,
            },
        });
        let id = uuid::Uuid::now_v7().to_string();
        let (alert, channel) = (id.clone(), channel.to_owned());
        let notice = Notice { id, alert, raised: true, channel, body, tries: 1 };
        match self.send(store, &notice).await {
            Ok(()) => Ok(()),
            Err(Failure::Passing(why) | Failure::Final(why)) => Err(anyhow!("{}", self.clean(&why))),
        }
    }

    async fn tell(&self, store: &Store, notice: &Notice) -> Told {
        match self.send(store, notice).await {
            Ok(()) => Told::Sent,
            Err(Failure::Passing(why)) if notice.tries < TRIES => {
                let wait = WAITS.0.saturating_mul(1 << notice.tries.saturating_sub(1).min(16)).min(WAITS.1);
                let why = self.clean(&why);
                tracing::info!(
                    channel = notice.channel,
                    "an alert could not be told, and is tried again: {why}"
                );
                Told::Again(wait, why)
            }
            Err(Failure::Passing(why) | Failure::Final(why)) => {
                let why = self.clean(&why);
                tracing::warn!(channel = notice.channel, "nobody is told of an alert: {why}");
                Told::Failed(why)
            }
        }
    }

    async fn send(&self, store: &Store, notice: &Notice) -> Result<(), Failure> {
        let Some(channel) = self.channels.iter().find(|channel| channel.name == notice.channel) else {
            return Err(Failure::Final(format!("no channel is named {:?}", notice.channel)));
        };
        let mut body = notice.body.clone();
        self.redactor.redact_json(&mut body, &|_| false);
        match &channel.kind {
            ChannelKind::Webhook { address, secret_env } => {
                body["notice"] = notice.id.as_str().into();
                let text = body.to_string();
                let mut request = self
                    .client
                    .post(self.url(address)?)
                    .header("content-type", "application/json")
                    .header("x-regreen-notice", &notice.id);
                if let Some(name) = secret_env {
                    let at = store.now().as_second();
                    let signature = sign(self.secret(name)?, at, &text);
                    request = request.header("x-regreen-signature", format!("t={at},v1={signature}"));
                }
                post(request.body(text)).await
            }
            ChannelKind::Slack { address } => {
                let text = json!({ "text": slack(&words(&body)) }).to_string();
                let request = self.client.post(self.url(address)?).header("content-type", "application/json");
                post(request.body(text)).await
            }
            ChannelKind::Email(mail) => self.mail(mail, notice, &words(&body)).await,
        }
    }

    fn secret(&self, name: &str) -> Result<&SecretString, Failure> {
        // Somebody may set it and start again.
        let missing = || Failure::Passing(format!("the variable {name} is not set"));
        self.secrets.get(name).ok_or_else(missing)
    }

    fn url(&self, address: &Address) -> Result<String, Failure> {
        let url = match address {
            Address::Url(url) => url.clone(),
            Address::Env(name) => self.secret(name)?.expose_secret().to_owned(),
        };
        if is_postable(&url) {
            return Ok(url);
        }
        Err(Failure::Final(
            "its address does not begin with https:// (http:// only for this machine)".to_owned(),
        ))
    }

    async fn mail(&self, mail: &Mail, notice: &Notice, words: &Words) -> Result<(), Failure> {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::Final(format!("the mail cannot be written: {error}"));
        let from: Mailbox = mail.from.parse().map_err(|error| wrong(&error))?;
        let mut message = Message::builder()
            .from(from)
            .subject(format!("[regreen] {}", words.title))
            // The same however often it is tried, so that a reader shows it once.
            .message_id(Some(format!("<{}@regreen.invalid>", notice.id)))
            .header(ContentType::TEXT_PLAIN);
        for to in &mail.to {
            message = message.to(to.parse().map_err(|error| wrong(&error))?);
        }
        let text = format!("{}\n\n{}\n\n{}\n", words.message, words.action, words.foot);
        let message = message.body(text).map_err(|error| wrong(&error))?;
        type Smtp = AsyncSmtpTransport<Tokio1Executor>;
        let server = match mail.tls {
            Tls::Implicit => Smtp::relay(&mail.host),
            Tls::Starttls => Smtp::starttls_relay(&mail.host),
            Tls::None => Ok(Smtp::builder_dangerous(&mail.host)),
        };
        let mut server = server.map_err(|error| Failure::Passing(error.to_string()))?;
        if let (Some(user), Some(name)) = (&mail.user, &mail.password_env) {
            let password = self.secret(name)?.expose_secret().to_owned();
            server = server.credentials(Credentials::new(user.clone(), password));
        }
        let server = server.port(mail.port).timeout(Some(TRY)).build();
        let sent = tokio::time::timeout(TRY, server.send(message)).await;
        match sent {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(Failure::Final(chain(&error))),
            Ok(Err(error)) => Err(Failure::Passing(chain(&error))),
            Err(_) => Err(Failure::Passing("the mail server took too long".to_owned())),
        }
    }

    /// A failure as it may be kept and logged.
    fn clean(&self, why: &str) -> String {
        plain(&self.redactor.redact(why)).chars().take(LONGEST).collect()
    }
}

/// The signature of a text at a moment: HMAC-SHA-256 over the moment in seconds since 1970, a dot and the text, in hexadecimal.
pub fn sign(secret: &SecretString, at: i64, text: &str) -> String {
    // Any length of a key will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        return String::new();
    };
    mac.update(at.to_string().as_bytes());
    mac.update(b".");
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

async fn post(request: reqwest::RequestBuilder) -> Result<(), Failure> {
    // An address may be a secret, so it is in no error.
    let answer = request.send().await.map_err(|error| Failure::Passing(chain(&error.without_url())))?;
    let status = answer.status();
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 425 | 429 | 500..=599 => Err(Failure::Passing(format!("the answer was {status}"))),
        _ => Err(Failure::Final(format!("the answer was {status}"))),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// A notice in words.
struct Words {
    title: String,
    message: String,
    action: String,
    foot: String,
}

fn words(body: &Value) -> Words {
    let alert = &body["alert"];
    let text = |name: &str| plain(alert[name].as_str().unwrap_or_default());
    let about = match text("subject").as_str() {
        "" => text("rule"),
        subject => format!("{} {subject}", text("rule")),
    };
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let over = body["event"] == "alert.recovered";
    let state = match body["event"].as_str() {
        Some("alert.recovered") => "over again",
        Some("alert.test") => "test",
        _ => "alert",
    };
    let id = text("id");
    Words {
        title: one_line(format!("{state}: {about}")),
        message: match over {
            true => format!("It is over: {}", text("message")),
            false => text("message"),
        },
        action: match over {
            true => "Nothing is to be done.".to_owned(),
            false => format!("What to do: {}", text("action")),
        },
        foot: match over {
            true => format!("since {} until {}, alert {}", text("since"), text("recovered_at"), short(&id)),
            false => {
                format!("since {}, alert {} (`regreen alerts ack {}`)", text("since"), short(&id), short(&id))
            }
        },
    }
}

/// A notice as Slack shows it: `&`, `<` and `>` mean something there.
fn slack(words: &Words) -> String {
    let shown = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let Words { title, message, action, foot } = words;
    let text = format!("*{}*\n{}\n{}\n_{}_", shown(title), shown(message), shown(action), shown(foot));
    text.replace('\r', "")
}

#[cfg(test)]
mod tests;
