use lending::{Desk, Loan};

#[test]
fn a_book_is_lent_once() {
    let mut desk = Desk::new();
    assert!(desk.lend("QA76", "Ada", 14));
    assert!(!desk.lend("QA76", "Grace", 14));
}

#[test]
fn a_book_in_time_costs_nothing() {
    let mut desk = Desk::new();
    desk.lend("QA76", "Ada", 14);
    assert_eq!(desk.take_back("QA76", 14), Some(0));
    assert_eq!(desk.take_back("QA76", 14), None);
}

#[test]
fn a_late_book_costs_by_the_day() {
    let mut desk = Desk::new();
    desk.lend("QA76", "Ada", 14);
    assert_eq!(desk.take_back("QA76", 17), Some(75));
}

#[test]
fn late_readers_are_listed_once() {
    let mut desk = Desk::new();
    desk.lend("QA76", "Grace", 14);
    desk.lend("PR60", "Ada", 3);
    desk.lend("PR61", "Ada", 4);
    assert_eq!(desk.late_readers(10), ["Ada"]);
    assert_eq!(desk.late_readers(20), ["Ada", "Grace"]);
}

#[test]
fn a_loan_knows_how_late_it_is() {
    assert_eq!(Loan::new("Ada", 5).days_overdue(4), 0);
    assert_eq!(Loan::new("Ada", 5).days_overdue(6), 1);
}
