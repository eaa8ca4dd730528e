//! Names as evidence: words, singulars, similar names.

/// Bytes of a name that is compared with others: no name is longer, and comparing takes time.
const LONGEST: usize = 256;

/// The most similar of `candidates` to a name that doesn't exist, if one is similar enough and the
/// name is not too long to be one.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let wanted = name.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        let score = strsim::normalized_damerau_levenshtein(&wanted, &lower)
            .max(strsim::jaro_winkler(&wanted, &lower) - 0.1);
        let better = best.is_none_or(|(s, c)| score > s || (score >= s && candidate < c));
        if score >= 0.6 && better {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The words of a name in lower case: split at what is no letter or digit, and at humps.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let letters: Vec<char> = name.chars().collect();
    for (i, &c) in letters.iter().enumerate() {
        if !c.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = i.checked_sub(1).and_then(|j| letters.get(j)).copied().unwrap_or('_');
        let after = letters.get(i + 1).copied().unwrap_or('_');
        let hump = c.is_uppercase() && (!before.is_uppercase() || after.is_lowercase());
        if hump {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// The last word without its plural ending, all words joined: `order_items` gives `orderitem`.
pub(crate) fn singular(name: &str) -> String {
    let mut words = words(name);
    if let Some(last) = words.last_mut() {
        *last = singular_word(last);
    }
    words.concat()
}

fn singular_word(word: &str) -> String {
    if word == "people" {
        return "person".to_owned();
    }
    if let Some(stem) = word.strip_suffix("ies").filter(|s| s.len() >= 2) {
        return format!("{stem}y");
    }
    for ending in ["sses", "ches", "shes", "xes"] {
        if word.ends_with(ending) {
            return word.get(..word.len() - 2).unwrap_or(word).to_owned();
        }
    }
    match word.strip_suffix('s') {
        Some(stem) if stem.len() >= 2 && !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => word.to_owned(),
    }
}

/// Words that say "this names a row" at the end of a column's name.
const KEY_WORDS: [&str; 9] = ["id", "key", "code", "no", "nr", "number", "uuid", "guid", "pk"];

/// The words before a key word, if the name ends in one: `home_team_id` gives `[home, team]`.
pub(crate) fn key_stem(name: &str) -> Option<Vec<String>> {
    let mut parts = words(name);
    let last = parts.pop()?;
    if KEY_WORDS.contains(&last.as_str()) {
        return Some(parts);
    }
    // One lower-case word such as `customerid`.
    let stem = ["uuid", "id"].iter().find_map(|k| last.strip_suffix(k)).filter(|s| s.len() >= 3)?;
    parts.push(stem.to_owned());
    Some(parts)
}

/// Whether any word of the name is among `list`.
pub(crate) fn has_word(name: &str, list: &[&str]) -> bool {
    words(name).iter().any(|w| list.contains(&w.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_at_humps_and_underscores() {
        assert_eq!(words("ownerUserId"), ["owner", "user", "id"]);
        assert_eq!(words("home_team_ID"), ["home", "team", "id"]);
        assert_eq!(words("URLPath2"), ["url", "path2"]);
    }

    #[test]
    fn singulars() {
        let pairs = [
            ("orders", "order"),
            ("categories", "category"),
            ("boxes", "box"),
            ("status", "status"),
            ("order_items", "orderitem"),
            ("addresses", "address"),
            ("matches", "match"),
        ];
        for (plural, one) in pairs {
            assert_eq!(singular(plural), one);
        }
    }

    #[test]
    fn a_key_has_a_stem() {
        assert_eq!(key_stem("home_team_id"), Some(vec!["home".to_owned(), "team".to_owned()]));
        assert_eq!(key_stem("customerid"), Some(vec!["customer".to_owned()]));
        assert_eq!(key_stem("Id"), Some(vec![]));
        assert_eq!(key_stem("paid"), None);
    }

    #[test]
    fn the_nearest_name_is_similar_or_none() {
        assert_eq!(nearest("custmers", ["customers", "orders"]), Some("customers"));
        assert_eq!(nearest("partid", ["caseId", "partId"]), Some("partId"));
        assert_eq!(nearest("zzz", ["customers"]), None);
    }
}
