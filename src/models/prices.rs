//! What tokens cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Request;
use crate::usage::{Money, Usage};

/// The table that Regreen ships.
const BUILT_IN: &str = include_str!("../../prices.toml");

/// Prices by model.
#[derive(Debug, Clone)]
pub struct Prices {
    table: Arc<Table>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    as_of: Option<String>,
    #[serde(default)]
    models: BTreeMap<String, Price>,
}

/// The price of one model, in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Uncached input.
    pub input: f64,
    /// Output, reasoning included.
    pub output: f64,
    /// Input written to a cache; the price of input where it is not given.
    pub cache_write: Option<f64>,
    /// Input read from a cache; the price of input where it is not given.
    pub cache_read: Option<f64>,
    /// Prices of long requests.
    pub long: Option<Long>,
}

/// The prices of requests with much input.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Long {
    /// Holds where all input tokens together are more than this.
    pub over: u64,
    /// Uncached input.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Input written to a cache.
    pub cache_write: Option<f64>,
    /// Input read from a cache.
    pub cache_read: Option<f64>,
}

impl Price {
    /// The rates for a request with that much input: input, cache write, cache read, output.
    fn rates(&self, input: u64) -> [f64; 4] {
        let (plain, write, read, output) = match self.long.filter(|long| input > long.over) {
            Some(long) => (long.input, long.cache_write, long.cache_read, long.output),
            None => (self.input, self.cache_write, self.cache_read, self.output),
        };
        [plain, write.unwrap_or(plain), read.unwrap_or(plain), output]
    }

    fn is_valid(&self) -> bool {
        let all = self.rates(0).into_iter().chain(self.rates(u64::MAX));
        all.into_iter().all(|rate| rate.is_finite() && (0.0..=1e6).contains(&rate))
    }
}

impl Prices {
    /// The table that Regreen ships.
    ///
    /// # Errors
    /// Never for a released build: a test reads the table.
    pub fn built_in() -> Result<Self> {
        Self::read(BUILT_IN)
    }

    /// The table that Regreen ships with a user's prices on top, in the same format (`[models.NAME]` with `input` and `output`).
    ///
    /// # Errors
    /// Where the text is not such a table, or a price is negative or absurd.
    pub fn with_overrides(text: &str) -> Result<Self> {
        let mut prices = Self::read(BUILT_IN)?;
        let own = Self::read(text).context("the prices of the configuration")?;
        Arc::make_mut(&mut prices.table).models.extend(own.table.models.iter().map(|(k, v)| (k.clone(), *v)));
        Ok(prices)
    }

    /// Sets the price of one model.
    ///
    /// # Errors
    /// Where a price is negative or absurd.
    pub fn set(&mut self, model: &str, price: Price) -> Result<()> {
        anyhow::ensure!(
            price.is_valid(),
            "the price of {model} is not between 0 and 1,000,000 dollars per million tokens"
        );
        Arc::make_mut(&mut self.table).models.insert(model.to_owned(), price);
        Ok(())
    }

    fn read(text: &str) -> Result<Self> {
        let table: Table = toml::from_str(text).context("the price table is not readable")?;
        for (model, price) in &table.models {
            anyhow::ensure!(
                price.is_valid(),
                "the price of {model} is not between 0 and 1,000,000 dollars per million tokens"
            );
        }
        Ok(Self { table: Arc::new(table) })
    }

    /// The day of the table that Regreen ships, `2026-11-21`.
    pub fn as_of(&self) -> &str {
        self.table.as_of.as_deref().unwrap_or("unknown")
    }

    /// What a call cost, rounded up to a millionth of a dollar. `None` for a model without a price (a local one, a recorded one).
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<Money> {
        let price = self.price(model)?;
        let all = usage.input.saturating_add(usage.cache_write).saturating_add(usage.cache_read);
        let [input, write, read, output] = price.rates(all);
        // Whether estimated tokens were written to a cache is not known either: the dearer holds.
        let input = if usage.estimated { input.max(write) } else { input };
        let usd = |tokens: u64, rate: f64| tokens as f64 * rate / 1e6;
        Some(Money::from_usd(
            usd(usage.input, input)
                + usd(usage.cache_write, write)
                + usd(usage.cache_read, read)
                + usd(usage.output, output),
        ))
    }

    /// The most a call can cost: two bytes a token, nothing read from a cache, everything written to one, all of the output used.
    /// `None` for a model without a price.
    pub fn upper_bound(&self, model: &str, request: &Request) -> Option<Money> {
        let price = self.price(model)?;
        let schema = request.schema.as_ref().map_or(0, |schema| schema.to_string().len());
        let bytes =
            request.system.len() + schema + request.turns.iter().map(|turn| turn.text.len()).sum::<usize>();
        // What the vendor puts around the turns.
        let around = 500 + 20 * request.turns.len() as u64;
        let tokens = bytes as u64 / 2 + around;
        let [input, write, _, output] = price.rates(tokens);
        Some(Money::from_usd(
            (tokens as f64 * input.max(write) + f64::from(request.max_output_tokens) * output) / 1e6,
        ))
    }

    fn price(&self, model: &str) -> Option<Price> {
        names(model).into_iter().find_map(|name| self.table.models.get(name)).copied()
    }
}

/// The names under which a model may be listed: as it is, without a vendor in front, without a date or `latest` behind.
fn names(model: &str) -> Vec<&str> {
    let bare = model.rsplit('/').next().unwrap_or(model);
    let mut names = vec![model, bare];
    if let Some(name) = bare.strip_suffix("-latest") {
        names.push(name);
    }
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    for length in [9, 11] {
        // `-20261121` and `-2026-11-21`.
        if let Some((name, date)) = bare.len().checked_sub(length).and_then(|at| bare.split_at_checked(at))
            && date.starts_with("-2")
            && digits(date)
        {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Effort, Role, Turn};
    use std::time::Duration;

    fn usage(input: u64, cache_write: u64, cache_read: u64, output: u64) -> Usage {
        Usage { input, cache_write, cache_read, output, ..Usage::default() }
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let prices = Prices::built_in().unwrap();
        let cost = |model: &str, usage| prices.cost(model, &usage).map(|money| money.0);
        assert_eq!(cost("claude-opus-5-5", usage(1000, 0, 0, 100)), Some(6000));
        assert_eq!(cost("claude-sonnet-5-5", usage(0, 1000, 10_000, 0)), Some(3500));
        assert_eq!(cost("anthropic/claude-sonnet-5-5-20261007", usage(1, 0, 0, 0)), Some(2));
        assert_eq!(cost("gpt-6.2-sol-2026-11-17", usage(0, 0, 0, 10)), Some(100));
        assert_eq!(cost("qwen3-coder", usage(1, 1, 1, 1)), None);
        assert_eq!(prices.as_of(), "2026-11-21");
    }

    #[test]
    fn long_requests_have_their_own_price() {
        let prices = Prices::built_in().unwrap();
        assert_eq!(prices.cost("claude-haiku-5-5", &usage(100_000, 0, 0, 1000)), Some(Money(10_500)));
        assert_eq!(prices.cost("claude-haiku-5-5", &usage(1, 0, 100_000, 1000)), Some(Money(7501)));
    }

    #[test]
    fn users_override_and_add() {
        let prices = Prices::with_overrides(
            "[models.local]\ninput = 1\noutput = 2\n[models.claude-opus-5-5]\ninput = 1.5\noutput = 2",
        )
        .unwrap();
        assert_eq!(prices.cost("local", &usage(1, 1, 1, 1)), Some(Money(5)));
        assert_eq!(prices.cost("claude-opus-5-5", &usage(2, 0, 0, 0)), Some(Money(3)));
        assert!(Prices::with_overrides("[models.x]\ninput = -1\noutput = 2").is_err());
        assert!(Prices::with_overrides("[models.x]\ninput = 1\noutput = nan").is_err());
        assert!(Prices::with_overrides("[models.x]\ninput = 1\noutptu = 2").is_err());
    }

    #[test]
    fn the_bound_is_above_the_cost() {
        let prices = Prices::built_in().unwrap();
        let request = Request {
            system: "rules ".repeat(100),
            turns: vec![Turn { role: Role::User, text: "fn main() {}\n".repeat(1000) }],
            effort: Effort::Low,
            max_output_tokens: 1000,
            cache_key: String::new(),
            schema: None,
            timeout: Duration::from_secs(1),
        };
        let bound = prices.upper_bound("claude-opus-5-5", &request).unwrap();
        let estimate = crate::usage::estimate_tokens(&request.turns[0].text);
        assert!(bound > prices.cost("claude-opus-5-5", &usage(0, estimate, 0, 1000)).unwrap());
        assert_eq!(prices.upper_bound("llama", &request), None);
    }
}
