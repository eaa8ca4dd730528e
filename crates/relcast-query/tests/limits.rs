//! What would take all memory, all time or the whole stack is refused, and says what to do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{bound, plan, shop};
use relcast_query::{open_statements, parse, statements};

fn refusal(sql: &str) -> String {
    match statements(sql).and_then(|mut read| read.next().unwrap()) {
        Ok(statement) => panic!("{sql}: {statement:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn sql_goes_only_so_deep_wherever_it_stands() {
    let sum = vec!["1"; 20_000].join("+");
    for sql in [
        format!("SELECT {sum}"),
        format!("SELECT * FROM (PREDICT USING MODEL m) p WHERE {sum} > 1"),
        format!("PREDICT USING MODEL m FOR t.k IN (SELECT {sum})"),
        format!("CREATE MODEL m FOR t.k AS (SELECT {sum}) WITH (horizon = '1 day')"),
    ] {
        let error = refusal(&sql);
        assert!(error.contains("at most 2000 operators in a row"), "{error}");
        assert!(error.contains("write alternatives as a list"), "{error}");
    }
    let nested = format!("{}SELECT 1{}", "SELECT (".repeat(40), ")".repeat(40));
    assert!(refusal(&nested).contains("at most 12 subqueries inside one another"));
}

#[test]
fn parameters_are_numbered_from_1_up_to_what_a_client_can_send() {
    for far in ["$0", "$65536", "$1000000000", "$99999999999999999999999"] {
        for sql in [format!("SELECT {far}"), format!("PREDICT USING MODEL m AS OF {far}")] {
            let error = refusal(&sql);
            assert!(error.contains("expected a parameter from $1 to $65535"), "{sql}: {error}");
        }
    }
    assert!(statements("SELECT $65535, $1").unwrap().next().unwrap().is_ok());
    let mut last = open_statements("PREDICT USING MODEL m AS OF $65535").unwrap();
    assert!(last.next().unwrap().is_ok());
}

#[test]
fn a_cutoff_stays_within_the_calendar() {
    let far = "PREDICT USING MODEL m AS OF '2020-01-31' + INTERVAL '400000 years'";
    assert!(refusal(far).contains("stays within the calendar"), "{}", refusal(far));
    let long = "PREDICT USING MODEL m AS OF NOW() - INTERVAL '100000000 days'";
    assert!(refusal(long).contains("stays within the calendar"), "{}", refusal(long));
    assert!(parse("PREDICT USING MODEL m AS OF '2020-01-31' + INTERVAL '9000 years'").is_ok());
}

#[test]
fn a_case_in_a_case_does_not_double_the_sql() {
    let nest = |depth| {
        let case = (0..depth).fold("status".to_owned(), |inner, _| {
            format!("CASE {inner} WHEN 'a' THEN 'b' WHEN 'c' THEN 'd' END")
        });
        let sql =
            format!("PREDICT COUNT(orders.* WHERE {case} = 'x', 0, 30) FOR EACH customers.id");
        plan(&sql, &shop()).sql().len()
    };
    assert!(nest(40) < 40 * nest(1));
}

#[test]
fn a_query_has_only_so_many_aggregates() {
    let sum: Vec<String> =
        (1..=12).map(|n| format!("COUNT(orders.* WHERE amount > {n}, 0, 7)")).collect();
    let query = |steps: usize| {
        format!("PREDICT {} FORECAST {steps} TIMEFRAMES FOR EACH customers.id", sum.join(" + "))
    };
    bound(&query(80), &shop()).unwrap();
    let error = bound(&query(90), &shop()).unwrap_err().to_string();
    assert!(error.contains("at most 1000 different aggregates"), "{error}");
}

#[test]
fn an_error_shows_the_beginning_of_a_long_token_alone() {
    let error = refusal(&format!("SELECT_{} 1", "x".repeat(100_000)));
    assert!(error.len() < 500, "{} characters", error.len());
}
