/// One book that is out. Days count from the library's opening.
#[derive(Debug, Clone)]
pub struct Loan {
    reader: String,
    due: u32,
}

impl Loan {
    /// A loan to `reader` that ends on day `due`.
    pub fn new(reader: &str, due: u32) -> Self {
        Self { reader: reader.to_string(), due }
    }

    /// Who has it.
    pub fn reader(&self) -> &str {
        &self.reader
    }

    /// How many days late it is: 0 up to and on the day it is due.
    pub fn days_overdue(&self, today: u32) -> u32 {
        today.saturating_sub(self.due)
    }
}
