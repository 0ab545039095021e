//! Who has borrowed which book, and until when.

mod loan;

pub use loan::Loan;

/// A library's open loans, by the book's shelf mark.
#[derive(Debug, Default)]
pub struct Desk {
    loans: HashMap<String, Loan>,
}

impl Desk {
    /// A desk without loans.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lends a book. Says no if it is out already.
    pub fn lend(&mut self, mark: &str, reader: &str, due: u32) -> bool {
        if self.loans.contains_key(mark) {
            return false;
        }
        self.loans.insert(mark.to_string(), Loan::new(reader, due));
        true
    }

    /// Takes a book back and returns the fee in cents, or nothing if it was not out.
    pub fn take_back(&mut self, mark: &str, today: u32) -> Option<u32> {
        self.loans.remove(mark).map(|loan| loan.overdue_days(today) * 25)
    }

    /// The readers who are late, in alphabetical order, each once.
    pub fn late_readers(&self, today: u32) -> Vec<&str> {
        let late = self.loans.values().filter(|loan| loan.days_overdue(today) > 0);
        let mut readers: Vec<&str> = late.map(|loan| loan.reader()).collect();
        readers.sort_unstable();
        readers.dedup();
        readers
    }
}
