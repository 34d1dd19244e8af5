use super::*;

fn parsed(words: &[&str]) -> Result<(Action, Options), UsageError> {
    parse(words.iter().map(OsString::from))
}

#[test]
fn variables_come_in_both_forms() {
    for words in [
        &["run", "FIRMWARE=vof", "SVM=off", "APPEND=run=demo"][..],
        &["run", "--firmware", "vof", "--svm", "off", "--append", "run=demo", "--disk", ""],
    ] {
        let (action, options) = parsed(words).unwrap();
        assert_eq!((action, options.firmware, options.svm), (Action::Run, Firmware::Vof, false));
        assert_eq!(options.append, "run=demo");
        assert_eq!(options.disk, None);
    }
}

#[test]
fn a_wrong_command_line_is_one_line_that_names_the_word() {
    for (words, line) in [
        (&["run", "FIRMWARE=x"][..], "FIRMWARE=x: expected slof, vof or bios"),
        (&["run", "--mem", "5"], "MEM=5: expected a multiple of 256M, such as 512M or 1G"),
        (&["run", "DISK=/nowhere"], "DISK=/nowhere: expected the path of an existing file"),
        (&["run", "JOBS=2"], "JOBS: not a variable of `run`; `help` lists all variables"),
        (&["test", "MEM=1G"], "MEM: not a variable of `test`; `help` lists all variables"),
        (&["run", "SVM=off", "FAULTS=share:silent"], "FAULTS: has no effect without SVM=on"),
        (&["run", "BLOB=demo", "SVM=off"], "BLOB: has no effect without SVM=on"),
        (&["run", "BLOB=x"], "BLOB=x: expected demo or none"),
        (&["run", "LOG=calls", "SVM=off"], "LOG: has no effect without SVM=on"),
        (&["run", "DISK_WRITE=yes"], "DISK_WRITE: has no effect without DISK"),
        (&["run", "PORT=5555", "NET=none"], "PORT: has no effect without NET=user"),
        (&["run", "ECHO_PORT=5555", "NET=none"], "ECHO_PORT: has no effect without NET=user"),
        (&["run", "COLOUR=red"], "COLOUR: unknown variable; `help` lists all variables"),
        (&["run", "--mem"], "MEM: no value given"),
        (&["run", "fast"], "fast: expected NAME=VALUE"),
        (&["walk"], "walk: expected run, test, soak, list, table, version or help"),
        (&["run", "FAULTS=share"], "FAULTS: fault `share`: expected CALL:WHEN=WHAT"),
        (&[], "no command given; expected run, test, soak, list, table, version or help"),
    ] {
        assert_eq!(parsed(words).unwrap_err().to_string(), line);
    }
}

#[test]
fn a_guest_that_serves_until_it_is_told_to_stop_has_no_limit() {
    let limit = |words: &[&str]| parsed(words).unwrap().1.limit();
    assert_eq!(limit(&["run"]), TIMEOUT);
    assert_eq!(limit(&["run", "APPEND=run=demo,net-serve"]), Duration::MAX);
    assert_eq!(limit(&["run", "APPEND=run=net-serve serve=5"]), TIMEOUT);
    assert_eq!(limit(&["run", "APPEND=run=net-serve", "TIMEOUT=7"]), Duration::from_secs(7));
}

#[test]
fn other_words_filter_tests() {
    let (action, options) = parsed(&["test", "slof/secure", "=vof/normal/ap-on", "JOBS=1"]).unwrap();
    assert_eq!((action, options.jobs), (Action::Test, 1));
    assert_eq!(options.words, ["slof/secure", "=vof/normal/ap-on"]);
}

/// Typing errors: lower case, a letter left out, doubled, two exchanged, one too many.
fn slips(word: &str) -> Vec<String> {
    let bytes = word.as_bytes();
    let mut slips = vec![word.to_ascii_lowercase(), format!("{word}S"), format!("_{word}")];
    for at in 0..bytes.len() {
        slips.push(format!("{}{}", &word[..at], &word[at + 1..]));
        slips.push(format!("{}{}", &word[..=at], &word[at..]));
        if at > 0 {
            let mut turned = bytes.to_vec();
            turned.swap(at - 1, at);
            slips.push(String::from_utf8(turned).unwrap());
        }
    }
    slips.retain(|slip| !slip.is_empty() && VARIABLES.iter().all(|(name, _)| name != slip));
    slips
}

#[test]
fn each_variable_and_subcommand_misspelt_is_an_error_that_names_it() {
    for (name, actions) in VARIABLES {
        assert!(!actions.is_empty(), "{name}");
        for slip in slips(name) {
            for action in Action::ALL {
                let error = parsed(&[action.name(), &format!("{slip}=1")]).unwrap_err().to_string();
                assert!(error.starts_with(&slip), "{} {slip}=1: {error}", action.name());
                let error = parsed(&[action.name(), &format!("--{slip}"), "1"]).map(|_| ());
                let known = VARIABLES
                    .iter()
                    .any(|(name, by)| *name == slip.to_ascii_uppercase() && by.contains(&action));
                assert!(error.is_err() || known, "{} --{slip} 1", action.name());
            }
        }
    }
    for action in Action::ALL {
        for slip in slips(action.name()).into_iter().filter(|slip| slip != action.name()) {
            assert_eq!(parsed(&[&slip]).unwrap_err(), UsageError::UnknownAction(slip));
        }
    }
}

#[test]
fn each_variable_is_taken_and_is_in_the_help() {
    let help = include_str!("../main.rs");
    for (name, actions) in VARIABLES {
        // Even with a wrong value, the name is known to its subcommands.
        for action in actions {
            match parsed(&[action.name(), &format!("{name}=")]) {
                Ok(_) | Err(UsageError::Bad(_) | UsageError::NoEffect(..)) => {}
                Err(error) => panic!("{} {name}=: {error}", action.name()),
            }
        }
        assert!(help.contains(&format!("{name}=")), "{name} is not in the help");
    }
    for action in Action::ALL {
        assert!(help.contains(&format!("postern-harness {}", action.name())), "{}", action.name());
    }
}

/// The variables of a goal, from the Makefile: `knows_GOAL := NAME...`, with the list of a run's.
fn makes(list: &str) -> Vec<&'static str> {
    let file = include_str!("../../../Makefile");
    let line =
        file.lines().find_map(|line| line.strip_prefix(list)?.trim_start().strip_prefix(":=")).unwrap();
    line.split_whitespace().collect()
}

#[test]
fn make_and_this_program_have_the_same_variables() {
    let taken = |action: Action| -> Vec<&str> {
        let by = |(name, by): (&'static str, &[Action])| by.contains(&action).then_some(name);
        // Not variables of make, which builds the images itself.
        let images = ["KERNEL", "TEST_IMAGE", "ROM", "SABOTAGE", "SKIP_BOUNCE", "CARELESS"];
        VARIABLES.into_iter().filter_map(by).filter(|name| !images.contains(name)).collect()
    };
    for (list, action) in
        [("VARIABLES", Action::Run), ("knows_test", Action::Test), ("knows_soak", Action::Soak)]
    {
        let (mut make, mut ours) = (makes(list), taken(action));
        make.sort_unstable();
        ours.sort_unstable();
        assert_eq!(make, ours, "{list}");
    }
    let help = include_str!("../../../docs/help.txt");
    for name in ["VARIABLES", "knows_test", "knows_bench", "knows_soak", "knows_fuzz"].map(makes).concat() {
        assert!(help.contains(&format!("{name}=")), "docs/help.txt does not name {name}");
    }
}
