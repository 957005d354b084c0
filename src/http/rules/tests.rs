//! What one config after another makes of tokens, shares and the flag in `/health`.

use std::collections::BTreeMap;

use super::*;
use crate::http::fixture;
use crate::http::token::presented;
use http::HeaderMap;

/// Who holds which of the tokens `T1`, `T2` and `T3`, by these rules.
fn holders(rules: &Rules) -> BTreeMap<&'static str, PrincipalId> {
    let holder = |token: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let token_bytes = presented(&headers).unwrap();
        let holder = rules.admission.holder(token_bytes, SystemTime::UNIX_EPOCH);
        holder.map(|holder| (token, holder.principal.id))
    };
    ["T1", "T2", "T3"].into_iter().filter_map(holder).collect()
}

fn ids(rules: &Rules) -> Vec<(&'static str, u32)> {
    let holders = holders(rules).into_iter();
    holders.map(|(token, id)| (token, id.0)).collect()
}

#[test]
fn an_entry_that_says_the_same_is_the_same_token_and_every_other_is_a_new_one() {
    let first = fixture::config();
    let book = Rulebook::new(&first);
    let before = book.rules();
    assert_eq!(ids(&before), [("T1", 1), ("T2", 2)]);

    let mut second = first.clone();
    // The numbers of a config are its own: the second is the first of the list now.
    second.admission.tokens.swap(0, 1);
    second.admission.tokens[0].principal.id = PrincipalId(1);
    second.admission.tokens[1].principal.id = PrincipalId(2);
    assert_eq!(book.replace(&second, vec![]), []);
    assert_eq!(ids(&book.rules()), [("T1", 1), ("T2", 2)]);

    let mut third = first.clone();
    third.admission.tokens[1].principal.admin = true;
    assert_eq!(book.replace(&third, vec![]), [PrincipalId(2)]);
    assert_eq!(ids(&book.rules()), [("T1", 1), ("T2", 3)]);

    third.admission.tokens.remove(1);
    assert_eq!(book.replace(&third, vec![]), [PrincipalId(3)]);
    assert_eq!(book.replace(&first, vec![]), []);
    assert_eq!(
        ids(&book.rules()),
        [("T1", 1), ("T2", 4)],
        "and no number twice"
    );
}

#[test]
fn a_share_in_use_outlives_a_reload_unless_its_size_changes() {
    let mut config = fixture::config();
    config.limits.max_in_flight_per_token = 1;
    let book = Rulebook::new(&config);
    let _held = book.rules().shares.request(PrincipalId(1)).unwrap();
    book.replace(&config, vec![]);
    assert!(book.rules().shares.request(PrincipalId(1)).is_err());
    config.limits.max_in_flight_per_token = 2;
    book.replace(&config, vec![]);
    assert!(book.rules().shares.request(PrincipalId(1)).is_ok());
}

#[test]
fn a_refused_config_is_told_until_another_is_taken() {
    let config = fixture::config();
    let book = Rulebook::new(&config);
    assert_eq!(
        (book.status().generation, &book.status().refused),
        (1, &None)
    );
    book.refused(["a".to_owned(), "b".to_owned()]);
    let status = book.status();
    assert_eq!(status.generation, 1, "the first is still in force");
    assert_eq!(
        status.refused.as_ref().map(|refused| refused.faults),
        Some(2)
    );
    book.replace(&config, vec!["bind_port"]);
    let status = book.status();
    assert_eq!((status.generation, &status.refused), (2, &None));
    assert_eq!(status.restart_needed, ["bind_port"]);
}
